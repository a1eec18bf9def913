"""Which engines are installed, found through entry points, each imported only when it is asked for.

A plug-in registers in the group `alma.engines`: `docker = "engines.docker.engine:DockerEngine"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from controller.blueprint.names import did_you_mean, shown
from controller.errors import InvalidInput
from engines.engine import Engine

GROUP = "alma.engines"
ALIASES: Mapping[str, str] = {"fake": "simulation", "k8s": "kubernetes"}


def engine_names() -> tuple[str, ...]:
    """Names of all installed engines, sorted. Imports none of them."""
    return tuple(sorted(_installed()))


def canonical(name: str) -> str:
    """The engine's own name for what a blueprint may write: `fake` is `simulation`, `k8s` is `kubernetes`."""
    return ALIASES.get(name, name)


def load_engine(name: str) -> type[Engine]:
    """The class of one engine, aliases included; no other engine is imported. Raises InvalidInput for a name that no
    installed engine bears, or for one whose library is not there."""
    installed = _installed()
    entry = installed.get(canonical(name))
    if entry is None:
        near = did_you_mean(name, (*installed, *ALIASES))
        raise InvalidInput(
            f"there is no engine {shown(name, 80)}{near}", hint=f"installed: {', '.join(sorted(installed))}"
        )
    return _loaded(entry)


def _loaded(entry: EntryPoint) -> type[Engine]:
    try:
        engine: type[Engine] = entry.load()
    except ImportError as error:
        missing = error.name or str(error)
        raise InvalidInput(
            f"engine {entry.name} cannot be used: {shown(missing, 200)} is missing",
            hint="install it into the environment alma runs in; `alma engines list` shows what is usable",
        ) from error
    except AttributeError as error:
        raise InvalidInput(f"engine {entry.name} is registered as {entry.value}, which does not exist") from error
    return engine


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
