"""Every tool by name: the thirteen, and those that others bring by entry point (`alma.tools`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from controller.blueprint.names import did_you_mean, shown
from controller.errors import AlmaError, InvalidInput
from controller.tools.auditing import CHECK_COMPLIANCE, SECURITY_AUDIT
from controller.tools.authoring import CREATE_BLUEPRINT, SUGGEST_ARCHITECTURE, VALIDATE_BLUEPRINT
from controller.tools.comparing import COMPARE_BLUEPRINTS, GENERATE_DEPLOYMENT_PLAN
from controller.tools.costs import ESTIMATE_RESOURCES
from controller.tools.forecasting import FORECAST_METRICS
from controller.tools.migrating import MIGRATE_INFRASTRUCTURE
from controller.tools.optimizing import OPTIMIZE_COSTS
from controller.tools.queueing import CALCULATE_CAPACITY
from controller.tools.tool import Tool
from controller.tools.troubles import TROUBLESHOOT_ISSUE

GROUP = "alma.tools"
AnyTool = Tool[Any, Any]
BUILT_IN: tuple[AnyTool, ...] = (
    CREATE_BLUEPRINT,
    VALIDATE_BLUEPRINT,
    ESTIMATE_RESOURCES,
    OPTIMIZE_COSTS,
    SECURITY_AUDIT,
    GENERATE_DEPLOYMENT_PLAN,
    TROUBLESHOOT_ISSUE,
    COMPARE_BLUEPRINTS,
    SUGGEST_ARCHITECTURE,
    CALCULATE_CAPACITY,
    MIGRATE_INFRASTRUCTURE,
    CHECK_COMPLIANCE,
    FORECAST_METRICS,
)


@cache
def tools() -> Mapping[str, AnyTool]:
    """Name → tool. Raises AlmaError for a plug-in that is no tool or takes a name that is taken."""
    found = {tool.name: tool for tool in BUILT_IN}
    for point in entry_points(group=GROUP):
        made = point.load()
        if not isinstance(made, Tool):
            raise AlmaError(f"{point.value} is no tool", hint=f"the entry point {GROUP}:{point.name} must name a Tool")
        if made.name in found:
            raise AlmaError(f"{point.value}: the name {made.name} is taken", hint="give the tool another name")
        found[made.name] = made
    return found


def tool(name: str) -> AnyTool:
    """One by name. Raises InvalidInput with the nearest."""
    found = tools().get(name)
    if found is None:
        near = did_you_mean(name, tools())
        raise InvalidInput(f"no tool is called {shown(name, 60)}{near}", hint="alma tools list names them all")
    return found
