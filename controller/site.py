"""The worker of one site, built from an install. Part of the wiring, and all of it that `alma worker` loads."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from controller.blueprint.sops import SopsFile
from controller.errors import InvalidInput
from controller.install import Install, bounds_of, log_defect
from controller.journal.shared_lease import SharedLeases
from controller.plan.resource import Allow
from controller.runtime.live_run import Means
from controller.runtime.records import Records, ScopeRecord
from controller.runtime.step_values import AllowOf, StepFiller
from controller.settings import Settings
from controller.temporal.connection import site_queue
from controller.temporal.site_answers import SiteAnswers
from controller.temporal.site_runs import SiteHooks, SiteRuns
from controller.temporal.site_worker import serve_site


def check_site(settings: Settings) -> None:
    """Raises InvalidInput for a configuration that no worker can work with."""
    lacking = [
        ("executor", "{temporal: {address: HOST:PORT}}, the controller's", settings.executor.temporal is not None),
        ("journal", "postgresql://…, the controller's", (settings.journal or "").startswith("postgres")),
        ("key_file", "a copy of the controller's", settings.key_file is not None),
        ("targets", "those of the site, each with what it takes to reach it", bool(settings.targets)),
    ]
    wrong = [f"{name}: a worker needs {what}" for name, what, there in lacking if not there]
    wrong += [
        f"targets.{n}.worker: a worker reaches its targets itself" for n, t in settings.targets.items() if t.worker
    ]
    if wrong:
        raise InvalidInput("\n".join(wrong), hint="README, Workers beside remote sites, shows both configurations")


async def serve(install: Install, site: str) -> None:
    """Takes work until it is cancelled."""
    where, leases = install.settings.executor.temporal, install.leases
    assert where is not None and isinstance(leases, SharedLeases), "check_site"
    allow_of = _allow_of(install.records, install.settings)
    may_change = {t: install.engines[t] for t, s in install.settings.targets.items() if not s.read_only}
    means = Means(may_change, install.log, install.key.sealer, install.clock, bounds_of(install.settings))
    filler = StepFiller(install.records, install.secrets, install.key.unseal, allow_of, _no_sops)
    answers = SiteAnswers(
        site=site,
        install=install.id,
        version=version("alma-controller"),
        key=install.key,
        engines=install.engines,
        engine_of=install.engine_of,
        secrets=install.secrets,
        allow_of=allow_of,
        on_defect=log_defect,
    )
    runs = SiteRuns(means, leases, SiteHooks(filler), site)
    await serve_site(where, site_queue(where, install.id, site), answers, runs)


async def _no_sops(scope: str, revision: str, paths: frozenset[str]) -> Mapping[str, SopsFile]:
    """A worker reads no repository; what asks for a file of one was refused when it was planned."""
    return {}


def _allow_of(records: Records, settings: Settings) -> AllowOf:
    """What the worker's own configuration lets the repository of a scope ask for."""

    async def allow(scope: str) -> Allow:
        record = await records.get(ScopeRecord, scope)
        granted = settings.allow.get(record.repository) if record else None
        return granted.allow() if granted else Allow()

    return allow
