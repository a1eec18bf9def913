"""Deploys by hand: an install without Git, forge and loop. Part of the wiring, and all of it that they load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeAlias

from controller.blueprint.sops import SopsFile
from controller.errors import InvalidInput
from controller.install import Install
from controller.operations.deploy import Standalone, Unattended
from controller.plan.resource import Allow
from controller.runtime.judging import Serving
from controller.runtime.settle import Settling, Telling
from controller.runtime.step_values import AllowOf, SopsOf, StepFiller
from controller.targets import everything_allowed, new_id

SopsHere: TypeAlias = Callable[[Collection[str]], Awaitable[Mapping[str, SopsFile]]]


def standalone(
    install: Install, caller: str, telling: Telling | None = None, sops: SopsHere | None = None
) -> Standalone:
    """Deploys by hand against this install's targets. `telling` follows the runs; `sops` reads the encrypted files of
    the folder that is deployed, by path."""
    nobody = Unattended()
    granted = everything_allowed(tuple(install.engines), install.environment)
    return Standalone(
        planning=install.planning,
        executor=install.executor,
        records=install.records,
        settling=Settling(install.records, install.log, telling or nobody, nobody, nobody, install.clock),
        values=StepFiller(install.records, install.secrets, install.key.unseal, _always(granted), _here(sops)),
        leases=install.leases,
        clock=install.clock,
        new_id=new_id,
        caller=caller,
        serving=serving_of(install),
    )


def serving_of(install: Install) -> Serving:
    """What the server configuration forbids to change."""
    return Serving("", frozenset(t for t, c in install.settings.targets.items() if c.read_only))


def _always(allow: Allow) -> AllowOf:
    async def of(scope: str) -> Allow:
        return allow

    return of


def _here(sops: SopsHere | None) -> SopsOf:
    async def of(scope: str, revision: str, paths: frozenset[str]) -> Mapping[str, SopsFile]:
        if sops is None:
            raise InvalidInput(f"{', '.join(sorted(paths))}: not at hand here", hint="run alma deploy on its folder")
        return await sops(paths)

    return of
