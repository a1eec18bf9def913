"""Server configuration: `alma-server.yaml` and `ALMA_…`, read once, by the command line and the wiring only.

Secrets in it are references (`env:NAME`, `file:PATH`); they are resolved where an engine or forge is opened, and the
same references are refused to blueprints (threats.md, I27).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_serializer

from controller.blueprint.document import read_document
from controller.blueprint.node import Node, plain
from controller.blueprint.reading import checked
from controller.errors import InvalidInput, Place, Problem
from controller.model_settings import ModelSettings
from controller.plan.resource import Allow
from controller.setting_types import PATTERN, SECRET, Name, Seconds, SecretRef, Strict
from controller.signature_settings import SignatureSettings

# Of a database URL, before the host or among the options: the one secret that may stand in a value.
_PASSWORD = re.compile(r"(?<=://)([^/?#:]*):[^/?#]*(?=@)|([?&]password)=[^&]*")
ENGINES = ("docker", "kubernetes", "proxmox", "simulation")


class ServerSettings(Strict):
    """Where the controller listens. Without API keys `listen` serves health and webhooks only."""

    listen: str = "127.0.0.1:8420"
    metrics_listen: str = "127.0.0.1:9420"
    public_url: str | None = None


class ForgeSettings(BaseModel):
    """A forge; keys beyond these belong to its own kind."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    kind: str
    url: str | None = None
    token: SecretRef | None = None
    webhook_secret: SecretRef | None = None
    app_id: Annotated[str | None, BeforeValidator(lambda v: str(v) if type(v) is int else v)] = None  # of a GitHub App
    private_key: SecretRef | None = None  # its key, PEM


class RepositorySettings(Strict):
    name: Name
    url: str
    branch: str = "main"
    forge: ForgeSettings = ForgeSettings(kind="local")
    token: SecretRef | None = None  # for Git over https; the forge's where this is absent
    ssh_key: str | None = None
    approvals: Annotated[int, Field(ge=0, le=10)] = 0  # as policy.approvals.required, whatever alma.yaml says
    signatures: SignatureSettings | None = None  # None: commits need no signature


class TargetSettings(BaseModel):
    """One engine endpoint; keys beyond these belong to its engine."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    engine: Literal["docker", "kubernetes", "proxmox", "simulation"]
    read_only: bool = False
    worker: Name | None = None  # the site whose worker reaches it; None: this process does


class OfferedTarget(TargetSettings):
    """Found on this machine and configured by nobody: it counts only for scopes that name its engine."""


class SopsSettings(Strict):
    """What opens the files of one repository that SOPS encrypted: age identities, each a key or a file of keys."""

    age: tuple[SecretRef, ...]


class AllowSettings(BaseModel):
    """What blueprints of one repository may ask for; what is not here is refused (I38)."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    targets: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    sops: SopsSettings | None = None

    @field_validator("secrets")
    @classmethod
    def _never_ours(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not PATTERN.match(pattern):
                raise ValueError(f"{pattern} is no secret pattern; write env:NAME*, file:/path/** or sops:path/**")
            if pattern.startswith("env:ALMA_"):
                raise ValueError(f"{pattern}: ALMA_* is never a secret of a blueprint")
        return patterns

    def allow(self) -> Allow:
        """As the plan room sees it: `docker: {host_paths: […]}` becomes `docker.host_paths`."""
        extra = self.model_extra or {}
        options = {
            f"{engine}.{key}": tuple(str(v) for v in values) if isinstance(values, tuple | list) else (str(values),)
            for engine, keys in extra.items()
            if isinstance(keys, Mapping)
            for key, values in keys.items()
        }
        if self.sops:
            options["sops.age"] = self.sops.age
        return Allow(self.targets, self.secrets, options)


class RoleSettings(Strict):
    """Who may read, operate and administer: `forge:write`, `team:org/name`, `login:name`, `os:user`, `os:%group`."""

    read: tuple[str, ...] = ("forge:read",)
    operate: tuple[str, ...] = ("forge:write",)
    admin: tuple[str, ...] = ("forge:admin",)


class ApiKey(Strict):
    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    role: Literal["read", "operate", "admin"]


class RegistrySettings(Strict):
    username: str
    password: SecretRef


class ScopeRate(Strict):
    per_minute: Annotated[int, Field(ge=1)] = 6
    burst: Annotated[int, Field(ge=1)] = 3


class TargetRate(Strict):
    per_minute: Annotated[int, Field(ge=1)] = 300
    burst: Annotated[int, Field(ge=1)] = 50


class ForgeRate(Strict):
    """Requests to one forge; after an outage none of `burst` is left, so that its end is no storm."""

    per_minute: Annotated[int, Field(ge=1)] = 600
    burst: Annotated[int, Field(ge=1)] = 100


class ReconcileSettings(Strict):
    interval: Seconds = 60
    drift_interval: Seconds = 600
    scope_rate: ScopeRate = ScopeRate()
    target_rate: TargetRate = TargetRate()
    forge_rate: ForgeRate = ForgeRate()
    in_flight: Annotated[int, Field(ge=1, le=64)] = 8
    step_timeout: Seconds = 600
    health_timeout: Seconds = 300
    lease: Annotated[Seconds, Field(ge=1, le=600)] = 15


class BreakGlassSettings(Strict):
    """Two admins may let a waiting run go past approvals, confirmations, limits and windows; both within this time."""

    within: Annotated[Seconds, Field(ge=60, le=86_400)] = 900


class KeepSettings(Strict):
    """How long what is over stays in `alma history`; the audit chain keeps every event."""

    days: Annotated[int, Field(ge=1, le=36_500)] = 90
    runs: Annotated[int, Field(ge=1, le=100_000)] = 100  # newest of each scope, however old


class TlsSettings(Strict):
    """Paths of PEM files: who may be the server, and who we are to it."""

    ca: str | None = None  # None: what this machine trusts
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None  # where the certificate names another host than `address`


class TemporalSettings(Strict):
    """The server that keeps where each run is. A worker that is silent for `heartbeat_timeout` has lost its work."""

    address: Annotated[str, Field(pattern=r"^[^\s/]+:\d+$")]
    namespace: Annotated[str, Field(min_length=1)] = "default"
    task_queue: Annotated[str, Field(min_length=1)] = "alma"
    heartbeat_timeout: Seconds = 10
    tls: TlsSettings | None = None


class ExecutorSettings(Strict):
    """What carries out a run: this process alone, or this process as a worker of Temporal."""

    temporal: TemporalSettings | None = None

    @model_serializer
    def _as_written(self) -> Any:
        return "local" if self.temporal is None else {"temporal": self.temporal}


def _executor(value: object) -> object:
    if isinstance(value, str) and value != "local":
        raise ValueError("must be local, or a map: temporal: {address: HOST:PORT}")
    return {} if value == "local" else value


class Settings(Strict):
    """The whole file."""

    id: Name = "alma"
    state: str | None = None
    server: ServerSettings = ServerSettings()
    repositories: tuple[RepositorySettings, ...] = ()
    targets: dict[str, TargetSettings] = Field(default_factory=dict)
    allow: dict[str, AllowSettings] = Field(default_factory=dict)
    roles: dict[str, RoleSettings] = Field(default_factory=dict)
    people: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # login → addresses in their commits
    api_keys: tuple[ApiKey, ...] = ()
    registries: dict[str, RegistrySettings] = Field(default_factory=dict)
    reconcile: ReconcileSettings = ReconcileSettings()
    keep: KeepSettings = KeepSettings()
    break_glass: BreakGlassSettings | None = None  # None: nobody may
    llm: ModelSettings | None = None
    key_file: str | None = None
    journal: str | None = None
    executor: Annotated[ExecutorSettings, BeforeValidator(_executor)] = ExecutorSettings()

    @property
    def glass_s(self) -> float:
        """How long those who break the glass count; 0 where nobody may."""
        return float(self.break_glass.within) if self.break_glass else 0.0

    def offered(self) -> frozenset[str]:
        """Names of the targets that nobody configured and only what names them may reach."""
        return frozenset(name for name, target in self.targets.items() if isinstance(target, OfferedTarget))

    def secret_refs(self) -> frozenset[str]:
        """Every reference this configuration uses itself: no blueprint may."""
        found = {r.forge.token for r in self.repositories} | {r.token for r in self.repositories}
        found |= {r.forge.webhook_secret for r in self.repositories} | {r.forge.private_key for r in self.repositories}
        found |= {r.password for r in self.registries.values()}
        found |= {ref for allow in self.allow.values() if allow.sops for ref in allow.sops.age}
        found |= {p.api_key for p in self.llm.providers} if self.llm else set()
        for target in self.targets.values():
            found |= {v for v in (target.model_extra or {}).values() if isinstance(v, str) and SECRET.fullmatch(v)}
        return frozenset(ref for ref in found if ref)


@dataclass(frozen=True, slots=True)
class Origin:
    """One value of `alma config show` and where it came from: `default`, `alma-server.yaml:LINE`, `$ALMA_…`."""

    path: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and the origin of every value."""

    settings: Settings
    origins: tuple[Origin, ...]
    file: Path | None


# Scalars of fixed places, each also an environment variable.
_ENVIRONMENT: Mapping[str, str] = {
    "ALMA_ID": "id",
    "ALMA_STATE": "state",
    "ALMA_KEY_FILE": "key_file",
    "ALMA_JOURNAL": "journal",
    "ALMA_EXECUTOR": "executor",
    **{
        f"ALMA_{section}_{key}".upper(): f"{section}.{key}"
        for section, model in (("server", ServerSettings), ("reconcile", ReconcileSettings), ("keep", KeepSettings))
        for key in model.model_fields
    },
    "ALMA_RECONCILE_SCOPE_RATE_PER_MINUTE": "reconcile.scope_rate.per_minute",
    "ALMA_RECONCILE_SCOPE_RATE_BURST": "reconcile.scope_rate.burst",
    "ALMA_RECONCILE_TARGET_RATE_PER_MINUTE": "reconcile.target_rate.per_minute",
    "ALMA_RECONCILE_TARGET_RATE_BURST": "reconcile.target_rate.burst",
    "ALMA_RECONCILE_FORGE_RATE_PER_MINUTE": "reconcile.forge_rate.per_minute",
    "ALMA_RECONCILE_FORGE_RATE_BURST": "reconcile.forge_rate.burst",
    # Whole maps and lists, as JSON.
    "ALMA_REPOSITORIES": "repositories",
    "ALMA_TARGETS": "targets",
    "ALMA_ALLOW": "allow",
    "ALMA_ROLES": "roles",
    "ALMA_PEOPLE": "people",
    "ALMA_API_KEYS": "api_keys",
    "ALMA_REGISTRIES": "registries",
    "ALMA_LLM": "llm",
    "ALMA_BREAK_GLASS": "break_glass",
}
_STRUCTURED = ("repositories", "targets", "allow", "roles", "people", "api_keys", "registries", "llm", "break_glass")
_NUMBERS = ("in_flight", "per_minute", "burst", "days", "runs")


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Loaded:
    """The file (None: defaults only) with the environment over it. Raises InvalidInput with every mistake."""
    node, content = _read(file)
    overrides = {name: path for name, path in _ENVIRONMENT.items() if name in environment}
    for name, path in overrides.items():
        _put(content, path.split("."), _parsed(name, path, environment[name]))
    shown = str(file) if file else "environment"
    if node is None:
        node = read_document(b"{}", shown)
    settings, problems = checked(Settings, content, node, shown)
    if settings is None:
        raise InvalidInput(problems, hint="alma config show prints every value and its origin")
    _cross_check(settings, shown)
    return Loaded(settings, tuple(_origins(settings, content, overrides, shown)), file)


def _read(file: Path | None) -> tuple[Node | None, dict[str, Any]]:
    if file is None:
        return None, {}
    try:
        data = file.read_bytes()
    except OSError as e:
        raise InvalidInput(f"{file}: {e.strerror}", hint="name it with --config or $ALMA_CONFIG") from e
    node = read_document(data, str(file))
    content = plain(node)
    if not isinstance(content, dict):
        raise InvalidInput([Problem(Place(str(file)), "a server configuration is a map of settings")])
    return node, content


def _parsed(name: str, path: str, text: str) -> object:
    """A value from the environment: JSON for maps and lists, a number where one is meant, else text."""
    if path in _STRUCTURED or (path == "executor" and text.startswith("{")):
        try:
            return _tuples(json.loads(text, parse_float=Decimal))
        except ValueError as e:
            raise InvalidInput(f"${name}: not valid JSON ({e})") from e
    if path.rpartition(".")[2] in _NUMBERS:
        if not text.isdecimal():
            raise InvalidInput(f"${name}: must be a whole number")
        return int(text)
    return text


def _tuples(value: object) -> object:
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return value


def _put(content: dict[str, Any], path: list[str], value: object) -> None:
    for step in path[:-1]:
        below = content.get(step)
        content[step] = below = dict(below) if isinstance(below, dict) else {}
        content = below
    content[path[-1]] = value


def _cross_check(settings: Settings, file: str) -> None:
    """What one part says of another."""
    names = [r.name for r in settings.repositories]
    problems = [f"repositories: {n} is there twice" for n in sorted({n for n in names if names.count(n) > 1})]
    problems += _worker_problems(settings)
    for repository, allow in settings.allow.items():
        if names and repository not in names:  # a worker knows no repository, only what each may use
            problems.append(f"allow.{repository}: no such repository; known: {', '.join(names) or 'none'}")
        problems += [
            f"allow.{repository}.targets: no target {t}; known: {', '.join(settings.targets) or 'none'}"
            for t in allow.targets
            if t not in settings.targets
        ]
    problems += [f"roles.{r}: no such repository" for r in settings.roles if r not in names]
    if problems:
        raise InvalidInput([Problem(Place(file), p) for p in problems])


def _worker_problems(settings: Settings) -> Iterator[str]:
    """A target that a worker reaches is known here by its engine alone: its address and its credentials stand there."""
    for name, target in settings.targets.items():
        if target.worker is None:
            continue
        if target.model_extra:
            keys = ", ".join(sorted(target.model_extra))
            yield f"targets.{name}.{keys}: stands in the configuration of the worker of site {target.worker}, not here"
        if settings.executor.temporal is None:
            yield f"targets.{name}.worker: needs executor: {{temporal: …}}, through which the worker is asked"
        if not (settings.journal or "").startswith("postgres"):
            yield f"targets.{name}.worker: needs journal: postgresql://…, which the worker writes to as well"


def _origins(
    settings: Settings, content: Mapping[str, Any], overrides: Mapping[str, str], file: str
) -> Iterator[Origin]:
    by_path = {path: f"${name}" for name, path in overrides.items()}
    for path, value in _leaves(settings.model_dump(mode="json")):
        above = [path[:i] for i in range(len(path), 0, -1) if path[i : i + 1] in ("", ".")]
        variable = next((by_path[p] for p in above if p in by_path), None)
        shown = _PASSWORD.sub(_masked, value) if path == "journal" else value
        yield Origin(path, shown, variable or (file if _has(content, path.split(".")) else "default"))


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}:***" if found[2] is None else f"{found[2]}=***"


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    else:
        yield path, "" if value in (None, {}, []) else str(value)


def _has(content: object, path: list[str]) -> bool:
    for step in path:
        if isinstance(content, Mapping) and step in content:
            content = content[step]
        elif isinstance(content, tuple | list) and step.isdecimal() and int(step) < len(content):
            content = content[int(step)]
        else:
            return False
    return True
