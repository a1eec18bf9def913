"""Which forges there are: the entry points `alma.forges`, so that another package can bring one."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from controller.errors import InvalidInput
from controller.forges.forge import Forge, ForgeBinding

GROUP = "alma.forges"


def forge_kinds() -> tuple[str, ...]:
    """Every kind that can be opened here, sorted. Loads none of them."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def forge_class(kind: str) -> type[Forge]:
    """The class behind `kind`. Raises InvalidInput for an unknown one."""
    for point in entry_points(group=GROUP):
        if point.name == kind:
            return cast(type[Forge], point.load())
    raise InvalidInput(f"there is no forge of the kind {kind!r}", hint=f"one of: {', '.join(forge_kinds())}")


def open_forge(kind: str, binding: ForgeBinding) -> Forge:
    """The forge of `binding`. Raises InvalidInput for an unknown kind or a `forge:` entry that cannot work."""
    return forge_class(kind).open(binding)
