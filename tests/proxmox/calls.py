"""What method code sees of a call, and what it may answer besides plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.proxmox.permissions import Login, require
from tests.proxmox.tasks import Action, begin
from tests.proxmox.world import Guest, World


@dataclass(frozen=True, slots=True)
class Call:
    """A call that passed the checks of rights and parameters. Values are text, arrays are lists of text."""

    world: World
    login: Login
    params: Mapping[str, Any]
    actions: Mapping[str, Action]
    upload: tuple[str, bytes] | None = None

    def text(self, name: str, default: str = "") -> str:
        """A parameter as text."""
        return str(self.params.get(name, default))

    def optional(self, name: str) -> str | None:
        """A parameter as text; None if it was not given."""
        value = self.params.get(name)
        return None if value is None else str(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean parameter."""
        value = self.params.get(name)
        return default if value is None else value == "1"

    def number(self, name: str, default: int = 0) -> int:
        """An integer parameter."""
        return int(self.params.get(name, default))

    @property
    def node(self) -> str:
        """The node of the path."""
        return self.text("node")

    @property
    def vmid(self) -> int:
        """The guest of the path."""
        return self.number("vmid")

    def guest(self, kind: str) -> Guest:
        """The guest of the path. Raises the 500 of a missing configuration file."""
        return self.world.guest(self.node, self.vmid, kind)

    def require(self, path: str, *privileges: str) -> None:
        """Raises the 403 of the API unless the caller holds all `privileges` on `path`."""
        require(self.world, self.login, path, privileges)

    def begin(self, kind: str, ident: object, action: str, /, **args: Any) -> str:
        """Accepts a task on the node of the path and returns its UPID."""
        return begin(self.world, self.login, self.node, kind, str(ident), action, args)


@dataclass(frozen=True, slots=True)
class Extended:
    """Data with keys beside it, such as `total`."""

    data: Any
    beside: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Call], Any]
Routes = Mapping[tuple[str, str], Handler]
