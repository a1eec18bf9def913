"""Builds everything from Settings; the one file that knows all the parts."""

from __future__ import annotations

import asyncio
import getpass
import grp
import pwd
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from controller.alone import serving_of, standalone
from controller.blueprint.sops import SopsFile
from controller.forges.forge import Account, Forge, ForgeBinding, Permission, Standing
from controller.forges.registry import open_forge
from controller.git.credentials import GitCredentials, configure_git
from controller.git.repository import Mirror
from controller.git.watcher import watch
from controller.install import Install
from controller.journal.shared_lease import SharedLeases
from controller.local_forge import JournalStore, MirrorGit
from controller.operations.access import Actor, Role, RoleRules, forge_actor, os_actor, role_of
from controller.operations.answering import CommentDesk
from controller.operations.asking import AskDesk
from controller.operations.comment_reads import ReadDesk
from controller.operations.contents import Contents
from controller.operations.context import Context
from controller.operations.desk import Desk
from controller.operations.doctor import DoctorDesk
from controller.operations.iprs import PullDesk
from controller.operations.orphans import OrphanDesk
from controller.operations.proposals import ProposalDesk
from controller.operations.rollback import RollbackDesk
from controller.plan.resource import Allow
from controller.runtime.approving import ApprovalPlace, Approver, Approving
from controller.runtime.attaching import Attaching
from controller.runtime.clearances import MergedReviews
from controller.runtime.clock import Clock
from controller.runtime.drift import HealBudget
from controller.runtime.ipr import Iprs
from controller.runtime.ipr_runs import IprRuns
from controller.runtime.judging import Judging, Serving
from controller.runtime.loop import Loop, Rates
from controller.runtime.parse_worker import ParseWorker
from controller.runtime.push_status import PushStatuses, belongs_to_push
from controller.runtime.reconciler import Intervals, Reconciler
from controller.runtime.records import Records, RunRecord, ScopeRecord
from controller.runtime.repository_look import RepositoryLook
from controller.runtime.retention import Keep, Retention
from controller.runtime.reverting import LateReverts, Place, RevertPulls
from controller.runtime.reviewing import Reviewing
from controller.runtime.scope_runs import Budgets, ScopeRuns
from controller.runtime.settle import Settling
from controller.runtime.sharing import Share
from controller.runtime.source import GitSource, Granted, RepositorySource, Signing
from controller.runtime.step_values import AllowOf, SopsOf, StepFiller
from controller.runtime.sweeping import Sweeping
from controller.runtime.work_queue import Priority, WorkQueue
from controller.settings import ForgeRate, RepositorySettings, Settings
from controller.signers import signers_of
from controller.targets import new_id, resolve_own, targets_of
from controller.telemetry import Metrics
from controller.tools.council import Speaker
from controller.voices import PlainNarrator, Voices

_GIT_TIMEOUT_S = 60.0
_REVERT_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller ready to run."""

    install: Install
    loop: Loop
    desk: Desk
    queue: WorkQueue
    forges: Mapping[str, Forge]
    mirrors: Mapping[str, Mirror]
    watches: Sequence[Callable[[], AsyncIterator[str]]] = ()


class Spreading:
    """Tells everyone who shows runs: pull requests, statuses of pushes, whoever follows."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self.iprs: dict[str, Iprs] = {}

    def run_moved(self, run: RunRecord) -> None:
        if run.repository in self.iprs:
            self.iprs[run.repository].run_moved(run)
        # A little later: several events of one run are one edit of the comment.
        delay_s = 0.0 if run.word.ended else 0.5
        if belongs_to_push(run):
            self._queue.add(f"push:{run.repository}/{run.revision}", Priority.PULL_REQUEST, delay_s)
        for number in run.pulls:
            self._queue.add(f"ipr:{run.repository}/{number}", Priority.PULL_REQUEST, delay_s)
        if run.word.ended and run.repository in self.iprs:
            # Live state has moved: open pull requests against this scope are planned again, many moves at once.
            self._queue.add(f"touch:{run.repository}/{run.scope}", Priority.PULL_REQUEST, 1.0)

    def scope_held(self, record: ScopeRecord) -> None:
        if record.seen_revision:
            self._queue.add(f"push:{record.repository}/{record.seen_revision}", Priority.PULL_REQUEST, 0.5)

    def revert_due(self, scope: str) -> None:
        """Whoever did not answer a moment ago is asked again, and at each look at the scope."""
        self._queue.add(f"revert:{scope}", Priority.POLL, _REVERT_AGAIN_S)

    def scope_synced(self, record: ScopeRecord, revision: str) -> None:
        """Pull requests that brought nothing to run in still get their final state; scopes that wait may go."""
        self._queue.add(f"repo:{record.repository}", Priority.POLL, 0.2)


@dataclass(slots=True)
class _Repository:
    """One configured repository, opened."""

    settings: RepositorySettings
    mirror: Mirror
    source: RepositorySource
    forge: Forge
    rules: RoleRules
    watch: Callable[[], AsyncIterator[str]] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class _Running:
    """What plans scopes and carries their runs out."""

    reconciler: Reconciler
    reverts: RevertPulls
    serving: Serving


async def build_controller(
    install: Install,
    environment: Mapping[str, str],
    voices: Voices,
    stack: AsyncExitStack,
    stop: asyncio.Event,
    *,
    observe: bool,
) -> Controller:
    """Everything for `alma serve`. What is opened is closed by `stack`."""
    settings = install.settings
    configure_git(int(_GIT_TIMEOUT_S * 1000))
    own = resolve_own(settings, environment)
    for target in settings.targets:
        _ = install.engines[target]  # a controller needs them all, and hears of a wrong configuration before it starts
    worker = ParseWorker()
    stack.callback(worker.close)
    opened = [await _open_repository(install, r, own, stack, stop, worker) for r in settings.repositories]
    by_name = {r.settings.name: r for r in opened}
    git = GitSource({name: r.source for name, r in by_name.items()})
    queue = WorkQueue(install.clock)
    spreading = Spreading(queue)
    running = _running(install, by_name, git, spreading, observe=observe)
    rules = {n: r.rules for n, r in by_name.items()}
    about = Context(install.records, queue, install.executor, install.clock, rules, _os_user, settings.glass_s)
    rollbacks = RollbackDesk(about, git)
    reviewing = Reviewing(install.planning, install.records, voices.narrator)
    spreading.iprs.update(
        {n: _iprs(install, r, about, rollbacks, reviewing, voices.speaker) for n, r in by_name.items()}
    )
    forges = {name: r.forge for name, r in by_name.items()}
    alone = replace(standalone(install, "controller"), serving=running.serving)
    orphans = OrphanDesk(about, alone, targets_of(install))
    return Controller(
        install,
        _loop(install, by_name, git, spreading, running, queue),
        Desk(about, PullDesk(about, forges), rollbacks, orphans, _doctor(about, install)),
        queue,
        forges,
        {n: r.mirror for n, r in by_name.items()},
        tuple(r.watch for r in opened if r.watch),
    )


def _running(
    install: Install, by_name: Mapping[str, _Repository], git: GitSource, spreading: Spreading, *, observe: bool
) -> _Running:
    serving = replace(serving_of(install), observe_only="serving with --observe: nothing is applied" if observe else "")
    clearances = MergedReviews(install.records, git)
    places = {name: Place(r.source, r.forge, r.settings.branch) for name, r in by_name.items()}
    reverts = RevertPulls(places, install.clock, spreading.revert_due)
    settling = Settling(install.records, install.log, spreading, reverts, clearances, install.clock)
    budgets = Budgets(HealBudget(install.clock), HealBudget(install.clock))
    people = {address.lower(): login for login, named in install.settings.people.items() for address in named}
    approving = Approving({n: _approval_place(r) for n, r in by_name.items()}, clearances, people)
    glass_s = install.settings.glass_s
    judging = Judging(install.records, git, clearances, approving, serving, budgets.heals, install.clock, glass_s)
    sources = {name: r.source for name, r in by_name.items()}
    allow_of, sops_of = _allow_of(install.records, sources), _sops_of(install.records, sources)
    runs = ScopeRuns(
        source=git,
        planning=install.planning,
        judging=judging,
        executor=install.executor,
        records=install.records,
        settling=settling,
        values=StepFiller(install.records, install.secrets, install.key.unseal, allow_of, sops_of),
        lease=install.leases.take,
        new_id=new_id,
        budgets=budgets,
        clock=install.clock,
        metrics=install.metrics,
    )
    reconciler = Reconciler(
        source=git,
        planning=install.planning,
        judging=judging,
        runs=runs,
        sweeping=Sweeping(install.planning, budgets.sweeps, serving.locks, serving.read_only),
        heals=budgets.heals,
        records=install.records,
        settling=settling,
        new_id=new_id,
        clock=install.clock,
        metrics=install.metrics,
        intervals=_intervals(install.settings),
    )
    return _Running(reconciler, reverts, serving)


def _iprs(
    install: Install,
    repository: _Repository,
    about: Context,
    rollbacks: RollbackDesk,
    reviewing: Reviewing,
    speaker: Speaker,
) -> Iprs:
    plain_review = Reviewing(install.planning, install.records, PlainNarrator())
    return Iprs(
        repository=repository.source,
        forge=repository.forge,
        reviewing=reviewing,
        answering=CommentDesk(
            about,
            rollbacks,
            repository.forge,
            repository.rules,
            _actor_of(repository),
            ReadDesk(about, Contents(repository.source), speaker),
            ProposalDesk(about, repository.source, plain_review, repository.settings.branch),
            AskDesk(about, Contents(repository.source), repository.forge),
            install.metrics,
        ),
        records=install.records,
        clock=install.clock,
        metrics=install.metrics,
        install=install.id,
        branch=repository.settings.branch,
        runs=IprRuns(install.records, repository.source, lambda scope: about.queue.is_busy(f"scope:{scope}")),
    )


def _loop(
    install: Install,
    by_name: Mapping[str, _Repository],
    git: GitSource,
    spreading: Spreading,
    running: _Running,
    queue: WorkQueue,
) -> Loop:
    settings = install.settings
    rate = settings.reconcile.scope_rate
    looks = {name: _look(install, r, queue) for name, r in by_name.items()}
    return Loop(
        queue=queue,
        reconciler=running.reconciler,
        repositories=looks,
        iprs=spreading.iprs,
        pushes={n: PushStatuses(n, r.forge, install.records) for n, r in by_name.items()},
        reverts=LateReverts(install.records, running.reverts, spreading.run_moved),
        retention=Retention(install.records, git, install.clock, Keep(settings.keep.days, settings.keep.runs)),
        engines=install.engines,
        new_id=new_id,
        clock=install.clock,
        metrics=install.metrics,
        rates=Rates(rate.per_minute, rate.burst),
        interval_s=float(settings.reconcile.interval),
        share=_share(install, queue, looks),
        rest=install.executor.rest,
    )


def _share(install: Install, queue: WorkQueue, looks: Mapping[str, RepositoryLook]) -> Share | None:
    """Of a journal that others may write to."""
    if not isinstance(install.leases, SharedLeases):
        return None
    follow = {name: look.follow for name, look in looks.items()}
    return Share(install.leases, install.records, queue, install.clock, follow)


def _look(install: Install, repository: _Repository, queue: WorkQueue) -> RepositoryLook:
    return RepositoryLook(
        source=repository.source,
        forge=repository.forge,
        branch=repository.settings.branch,
        records=install.records,
        queue=queue,
        nudge=install.executor.nudge,
    )


def _intervals(settings: Settings) -> Intervals:
    """A scope that may not run heals as often as any other: no later than its drift would be looked for."""
    drift_s = float(settings.reconcile.drift_interval)
    return Intervals(drift_s=drift_s, waiting_s=min(Intervals().waiting_s, drift_s))


def standalone_desk(install: Install) -> Desk:
    """What the command line answers without a controller: readings and the acts that only change records."""
    about = Context(install.records, WorkQueue(install.clock), install.executor, install.clock)
    orphans = OrphanDesk(about, standalone(install, getpass.getuser()), targets_of(install))
    return Desk(about, orphans=orphans, doctor=_doctor(about, install), door="command line")


def _doctor(about: Context, install: Install) -> DoctorDesk:
    return DoctorDesk(about, install.id, install.engines, install.offered)


async def _open_repository(
    install: Install,
    repository: RepositorySettings,
    own: Mapping[str, str],
    stack: AsyncExitStack,
    stop: asyncio.Event,
    worker: ParseWorker,
) -> _Repository:
    settings = install.settings
    rules = _rules(settings, repository.name)
    token = own.get(repository.token or repository.forge.token or "")
    mirror = Mirror.open(
        install.state / "mirrors" / f"{repository.name}.git",
        repository.url,
        credentials=GitCredentials(token=token, ssh_key=Path(repository.ssh_key) if repository.ssh_key else None),
        timeout_s=_GIT_TIMEOUT_S,
    )
    stack.push_async_callback(mirror.close)
    granted = settings.allow.get(repository.name)
    allow = granted.allow() if granted else Allow()
    granted_targets = Granted(targets_of(install, allow.targets), allow)
    attaching = Attaching(install.planning.kinds, worker)
    source = RepositorySource(
        repository.name,
        mirror,
        granted_targets,
        worker=worker,
        attaching=attaching,
        signing=_signing(repository, install.clock),
        approvals=repository.approvals,
    )
    forge = _open_forge(install, repository, own, mirror, rules)
    stack.push_async_callback(forge.close)
    return _Repository(repository, mirror, source, forge, rules, _watch(repository, stop))


def _signing(repository: RepositorySettings, clock: Clock) -> Signing | None:
    if repository.signatures is None:
        return None
    signers = signers_of(repository.signatures, repository.name, lambda path: Path(path).read_bytes())
    return Signing(signers, lambda: clock.wall().date())


def _open_forge(
    install: Install, repository: RepositorySettings, own: Mapping[str, str], mirror: Mirror, rules: RoleRules
) -> Forge:
    binding = forge_binding(repository, install.settings.reconcile.forge_rate, own, install.metrics, install.clock)
    if repository.forge.kind == "local":
        standing = {"standing": lambda account: _os_standing(account, rules)}
        binding = replace(
            binding,
            config={**binding.config, **standing},
            store=JournalStore(install.journal, repository.name),
            git=MirrorGit(mirror, install.clock, signed_only=repository.signatures is not None),
        )
    return open_forge(repository.forge.kind, binding)


def forge_binding(
    repository: RepositorySettings, rate: ForgeRate, own: Mapping[str, str], metrics: Metrics, clock: Clock
) -> ForgeBinding:
    """What the forge of a repository is opened with; `own` holds the values of our secret references."""
    kind = repository.forge.kind
    return ForgeBinding(
        repository=repository.name,
        git_url=repository.url,
        branch=repository.branch,
        config={k: own.get(v, v) if isinstance(v, str) else v for k, v in repository.forge.model_dump().items()},
        clock=clock.now_s,
        sleep=clock.sleep,  # of the same clock: what waits for a token sees it come
        on_request=lambda code: metrics.count("alma_forge_requests", kind, str(code)),
        on_remaining=lambda left: metrics.gauge("alma_forge_rate_limit_remaining", left, kind),
        on_tokens=lambda tokens: metrics.gauge("alma_token_bucket_tokens", tokens, f"forge:{repository.name}"),
        per_minute=rate.per_minute,
        burst=rate.burst,
    )


def _approval_place(repository: _Repository) -> ApprovalPlace:
    forge, actor_of = repository.forge, _actor_of(repository)

    async def approver(account: Account) -> Approver | None:
        standing = await forge.standing(account)
        if role_of(actor_of(account, standing), repository.rules) < Role.OPERATE:
            return None
        teams = {part for team in standing.teams for part in (team.lower(), team.lower().rpartition("/")[2])}
        return Approver(account.login, frozenset({account.login.lower(), *teams}))

    return ApprovalPlace(forge, repository.mirror, approver)


def _os_person(account: Account) -> Actor:
    return _os_user(account.id)


def _os_user(name: str) -> Actor:
    user = name.removeprefix("os:")
    return os_actor(user, groups_of(user), controller=user == getpass.getuser())


def _os_standing(account: Account, rules: RoleRules) -> Standing:
    """What an OS user may do on a repository without a forge: its role, in the forge's words."""
    role = role_of(_os_person(account), rules)
    words = {Role.ADMIN: Permission.ADMIN, Role.OPERATE: Permission.WRITE, Role.READ: Permission.READ}
    return Standing(words.get(role, Permission.NONE))


def _rules(settings: Settings, repository: str) -> RoleRules:
    given = settings.roles.get(repository)
    return RoleRules(given.read, given.operate, given.admin) if given else RoleRules()


def _actor_of(repository: _Repository) -> Callable[[Account, Standing], Actor]:
    """Who wrote a comment. On the built-in forge people are users of this machine, by the same names as at the
    socket."""
    if repository.forge.kind == "local":
        return lambda account, standing: _os_person(account)
    return partial(forge_actor, repository.forge.kind)


def _watch(repository: RepositorySettings, stop: asyncio.Event) -> Callable[[], AsyncIterator[str]] | None:
    """File events, for a repository that lies on this machine."""
    path = Path(repository.url)
    if not (path.is_absolute() and path.is_dir()):
        return None

    async def keys() -> AsyncIterator[str]:
        async for _ in watch(path, stop):
            yield f"repo:{repository.name}"

    return keys


def _allow_of(records: Records, sources: Mapping[str, RepositorySource]) -> AllowOf:
    """What the repository of a scope may ask for; a scope of a repository that is gone may ask for nothing."""

    async def allow(scope: str) -> Allow:
        record = await records.get(ScopeRecord, scope)
        source = sources.get(record.repository) if record else None
        return source.granted.allow if source else Allow()

    return allow


def _sops_of(records: Records, sources: Mapping[str, RepositorySource]) -> SopsOf:
    """The encrypted files of a scope's repository at the commit of its run."""

    async def sops(scope: str, revision: str, paths: frozenset[str]) -> Mapping[str, SopsFile]:
        record = await records.get(ScopeRecord, scope)
        source = sources.get(record.repository) if record else None
        return await source.sops(revision, paths) if source else {}

    return sops


def groups_of(user: str) -> frozenset[str]:
    """The groups of an OS user; none for one that does not exist."""
    try:
        primary = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    except KeyError:
        return frozenset()
    return frozenset({primary, *(g.gr_name for g in grp.getgrall() if user in g.gr_mem)})
