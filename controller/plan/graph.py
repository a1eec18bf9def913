"""What a scope wants, as objects on targets with edges and waves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.blueprint.entry import Entry
from controller.plan.resource import Desired


@dataclass(frozen=True, slots=True)
class DesiredGraph:
    """`entries` in (blueprint, name) order; `desired` per target name; `edges` from a resource id to those it depends
    on; `waves` from a resource id to its number (0 first), never lower than any it depends on."""

    scope: str
    entries: tuple[Entry, ...]
    desired: Mapping[str, tuple[Desired, ...]]
    edges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    waves: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""  # SHA-256 over what is wanted, without places: what quarantine holds
