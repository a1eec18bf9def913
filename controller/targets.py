"""The targets of one install, opened to be read and planned against. Needs no lock and no journal.

Part of the wiring, and all of it that `alma plan` loads: nothing here may import what only a run needs.
"""

from __future__ import annotations

import getpass
import os
import secrets as entropy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from controller.errors import AlmaError, InvalidInput
from controller.journal.place import ServerPlace, place_of
from controller.plan.resource import Allow, Kind
from controller.redact import Redactor
from controller.runtime.clock import Clock
from controller.runtime.observe import Measures, Observer, OnDefect
from controller.runtime.planning import Planning
from controller.runtime.secret_values import IDENTITIES, InstallSecrets
from controller.seal import Key, make_key, read_key
from controller.secret_store import SecretStore
from controller.settings import Settings
from controller.sops import identity_lines
from controller.token_bucket import TokenBucket
from engines.engine import Binding, Engine
from engines.registry import load_engine

_SECRET_SCHEMES = ("env:", "file:")
T = TypeVar("T")


class Lazily(Mapping[str, T]):
    """A value for each name, made once and only when it is asked for: a client library takes up to a second to load.
    Names alone make none."""

    def __init__(self, names: Iterable[str], make: Callable[[str], T]) -> None:
        self._names, self._make = tuple(names), make
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def made(self) -> tuple[T, ...]:
        """Those that were asked for."""
        return tuple(self._made.values())


@dataclass(slots=True)
class Targets:
    """All targets of an install, ready to be read and planned against. Needs no lock and no journal."""

    id: str
    engines: Lazily[Engine]
    engine_of: Mapping[str, str]
    offered: frozenset[str]  # of them, those that count only where a scope names their engine
    planning: Planning
    secrets: InstallSecrets
    environment: Mapping[str, str]
    key: Key
    redact: Redactor

    async def close(self) -> None:
        for engine in self.engines.made():
            await engine.close()


class HasTargets(Protocol):
    """Whatever knows its targets by name and engine."""

    @property
    def engine_of(self) -> Mapping[str, str]: ...

    @property
    def offered(self) -> frozenset[str]: ...

    @property
    def planning(self) -> Planning: ...

    @property
    def environment(self) -> Mapping[str, str]: ...


def targets_of(targets: HasTargets, only: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Engine → its targets, in the order of the configuration."""
    found: dict[str, tuple[str, ...]] = {}
    for target, engine in targets.engine_of.items():
        if only is None or target in only:
            found[engine] = (*found.get(engine, ()), target)
    return found


def state_dir(settings: Settings, option: str | None, environment: Mapping[str, str]) -> Path:
    """`--state`, then the configuration (which holds `$ALMA_STATE`), then `$XDG_STATE_HOME/alma`."""
    if option or settings.state:
        return Path(str(option or settings.state)).expanduser().absolute()
    base = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/")) / ".local/state")
    return Path(base) / "alma"


def new_id() -> str:
    """A run id: 12 lower-case letters and digits, unguessable."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(entropy.choice(alphabet) for _ in range(12))


def install_id(settings: Settings, state: Path, *, configured: bool) -> str:
    """The id in the configuration, else the one made once in STATE/id."""
    if configured:
        return settings.id
    file = state / "id"
    if not file.exists():
        made = f"{_plain(getpass.getuser())}-{new_id()[:6]}"
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = file.with_name(f".id.{os.getpid()}")
        fresh.write_text(made)
        os.replace(fresh, file)
    return file.read_text().strip()


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isascii() and c.isalnum())[:20] or "alma"


def install_key(settings: Settings, state: Path) -> Key:
    """The key of `key_file`, else STATE/key, which is made when it is not there."""
    path = Path(settings.key_file).expanduser() if settings.key_file else state / "key"
    if not settings.key_file and not path.exists():
        make_key(path)
    return read_key(path)


def open_targets(
    settings: Settings,
    state: Path,
    environment: Mapping[str, str],
    clock: Clock,
    measures: Measures,
    on_defect: OnDefect,
    *,
    configured: bool = True,
) -> Targets:
    """Connects to none of them yet, and opens each when it is first asked for: it raises InvalidInput then, where its
    configuration is wrong."""
    key = install_key(settings, state)
    known = InstallSecrets(SecretStore(environment, tuple(settings.secret_refs())), key.mask)
    redact = Redactor(known.known)
    name = install_id(settings, state, configured=configured)
    own = resolve_own(settings, environment)
    known.learn([*own.values(), *_passwords(settings)])
    known.learn(line for value in own.values() for line in identity_lines(value))

    far = _far(settings, name, key)

    def opened(target: str) -> Engine:
        site = settings.targets[target].worker
        if site is not None and far is not None:
            engine: Engine = far.engine(target, settings.targets[target].engine, site)
            return engine
        return load_engine(settings.targets[target].engine).open(
            Binding(
                install=name,
                target=target,
                config=_config(settings, target, own),
                mask=key.mask,
                redact=redact,
                clock=clock.now_s,
                state_dir=state,
                registries={h: (r.username, own[r.password]) for h, r in settings.registries.items()},
            )
        )

    engines = Lazily(settings.targets, opened)
    engine_of = {t: settings.targets[t].engine for t in engines}
    rate = settings.reconcile.target_rate
    buckets = {t: TokenBucket(rate.per_minute, rate.burst, clock.now_s) for t in engines}
    observer = Observer(engines, engine_of, buckets, measures, clock, on_defect)
    planning = Planning(name, engines, engine_of, kinds_of(engine_of.values()), observer, known, _today(clock))
    return Targets(name, engines, engine_of, settings.offered(), planning, known, environment, key, redact)


def _far(settings: Settings, install: str, key: Key) -> Any:
    """What asks the workers of sites, where the configuration has any."""
    if settings.executor.temporal is None or not any(t.worker for t in settings.targets.values()):
        return None
    # Its library is loaded only where it is configured: no other command should wait for it.
    return import_module("controller.temporal.far_engine").Sites(settings.executor.temporal, install, key)


def site_queues(settings: Settings, install: str) -> Mapping[str, str]:
    """Target that a worker reaches → the task queue of its site."""
    sites = {name: target.worker for name, target in settings.targets.items() if target.worker}
    if settings.executor.temporal is None or not sites:
        return {}
    queue_of = import_module("controller.temporal.connection").site_queue
    return {name: queue_of(settings.executor.temporal, install, site) for name, site in sites.items()}


def _passwords(settings: Settings) -> Iterator[str]:
    """Those that stand in a value and not behind a reference."""
    place = place_of(settings.journal) if settings.journal else None
    if isinstance(place, ServerPlace) and place.password:
        yield place.password
        yield unquote(place.password)


def _today(clock: Clock) -> Callable[[], date]:
    return lambda: clock.wall().date()


def kinds_of(engines: Iterable[str]) -> Mapping[str, Mapping[str, Kind]]:
    """Engine name → its kinds. A plug-in is loaded when its kinds are asked for; opens nothing."""
    return Lazily(sorted(set(engines)), lambda name: load_engine(name).kinds)


def resolve_own(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """The server's own secret references → values. Raises InvalidInput naming every one that is missing."""
    refs = sorted(settings.secret_refs())
    store = SecretStore(environment)
    missing, values = [], {}
    for ref in refs:
        try:
            values[ref] = store.own(ref)
        except AlmaError as e:
            missing.append(str(e))
    if missing:
        raise InvalidInput("; ".join(missing), hint="alma config show names where each is used")
    return values


def _config(settings: Settings, target: str, own: Mapping[str, str]) -> dict[str, object]:
    """The target's entry with its own secrets resolved."""
    entry = settings.targets[target].model_dump(exclude={"worker"})
    return {k: own.get(v, v) if isinstance(v, str) and v.startswith(_SECRET_SCHEMES) else v for k, v in entry.items()}


def everything_allowed(targets: tuple[str, ...], environment: Mapping[str, str]) -> Allow:
    """Standalone: the caller's own credentials are the authority (I1), so everything they could do by hand; files of
    SOPS with the identities that `sops` itself would find."""
    return Allow(targets, ("env:*", "file:/**", "sops:**"), {IDENTITIES: tuple(_sops_identities(environment))})


def _sops_identities(environment: Mapping[str, str]) -> Iterator[str]:
    if environment.get("SOPS_AGE_KEY"):
        yield "env:SOPS_AGE_KEY"
    if environment.get("SOPS_AGE_KEY_FILE"):
        yield f"file:{Path(environment['SOPS_AGE_KEY_FILE']).absolute()}"
    base = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '/root')}/.config"
    usual = Path(base) / "sops/age/keys.txt"
    if usual.is_file():
        yield f"file:{usual.resolve()}"
