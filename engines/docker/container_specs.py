"""What `specs` of a container may hold: Compose's words, plus sizes and limits in ours. Pure.

Keys that reach the host are known to the model, so that the answer names them and why they are refused (I38) instead
of "unknown key".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from controller.blueprint import units
from controller.blueprint.value import Value
from engines.docker import shorthand
from engines.docker.shorthand import MountSpec, Port

Words = Annotated[tuple[Any, ...], BeforeValidator(shorthand.words)]
Names = Annotated[tuple[str, ...], BeforeValidator(shorthand.names)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(shorthand.addresses)]
Environment = Annotated[dict[str, Any], BeforeValidator(shorthand.environment)]
Strings = Annotated[dict[str, Any], BeforeValidator(shorthand.string_map)]
Size = Annotated[int, BeforeValidator(units.size_bytes)]
Memory = Annotated[int, BeforeValidator(partial(units.size_bytes, at_least=6 * 1024**2))]  # Docker's own minimum
Cores = Annotated[int, BeforeValidator(shorthand.millicores)]
Seconds = Annotated[int, BeforeValidator(units.duration_s)]
Written = Annotated[str, BeforeValidator(shorthand.text)]

RESTARTS = ("no", "always", "unless-stopped", "on-failure")


class Strict(BaseModel):
    """Unknown keys are errors; what was read never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Healthcheck(Strict):
    test: Annotated[tuple[Any, ...], BeforeValidator(shorthand.test_of)] | None = None
    interval: Seconds | None = None
    timeout: Seconds | None = None
    start_period: Seconds | None = None
    retries: int | None = Field(default=None, ge=1, le=1000)
    disable: bool = False


class Logging(Strict):
    driver: str = "json-file"
    options: Strings = Field(default_factory=dict)


class File(Strict):
    """A file put into the container before it starts."""

    content: Any
    mode: Annotated[str, BeforeValidator(shorthand.file_mode)] = "0644"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """Text or a marker alone is the content."""
        short = isinstance(value, str) or shorthand.is_marker(value)
        return {"content": value} if short else value


class ContainerSpecs(Strict):
    """`specs` of container, compute, service and database on a Docker host."""

    name: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$")
    image: str | None = Field(default=None, pattern=r"^[a-z0-9][\x21-\x7e]{0,511}$")
    command: Words | None = None
    entrypoint: Words | None = None
    env: Environment = Field(default_factory=dict)
    environment: Environment = Field(default_factory=dict)
    ports: Annotated[tuple[Port, ...], BeforeValidator(shorthand.ports)] = ()
    volumes: Annotated[tuple[MountSpec, ...], BeforeValidator(shorthand.mounts)] = ()
    tmpfs: Annotated[tuple[MountSpec, ...], BeforeValidator(shorthand.tmpfs)] = ()
    networks: Annotated[dict[str, Mapping[str, Any]], BeforeValidator(shorthand.attached)] = Field(default_factory=dict)
    network_mode: str | None = None
    files: dict[str, File] = Field(default_factory=dict)
    restart: str | None = None
    user: Written | None = None
    working_dir: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    labels: Strings = Field(default_factory=dict)
    cpu: Cores | None = None
    cpus: Cores | None = None
    memory: Memory | None = None
    mem_limit: Memory | None = None
    memory_reservation: Memory | None = None
    memswap_limit: Memory | None = None
    pids: int | None = Field(default=None, ge=1)
    pids_limit: int | None = Field(default=None, ge=1)
    cpu_shares: int | None = Field(default=None, ge=2, le=262144)
    cpuset: Written | None = None
    storage: Size | None = None
    disk: Size | None = None
    read_only: bool | None = None
    init: bool | None = None
    tty: bool | None = None
    stdin_open: bool | None = None
    cap_add: Names = ()
    cap_drop: Names = ()
    group_add: Names = ()
    healthcheck: Healthcheck | None = None
    stop_grace: Seconds | None = None
    stop_grace_period: Seconds | None = None
    stop_signal: str | None = Field(default=None, pattern=r"^[A-Z0-9+]{1,20}$")
    ulimits: Annotated[dict[str, str], BeforeValidator(shorthand.ulimits)] = Field(default_factory=dict)
    shm_size: Size | None = None
    extra_hosts: Names = ()
    dns: Addresses = ()
    dns_search: Names = ()
    dns_opt: Names = ()
    logging: Logging | None = None
    expose: Any = None
    sysctls: Strings = Field(default_factory=dict)
    devices: Names = ()
    security_opt: Names = ()
    runtime: str | None = None
    privileged: Any = None
    pid: Any = None
    ipc: Any = None
    uts: Any = None
    userns_mode: Any = None
    cgroup: Any = None
    cgroup_parent: Any = None
    device_cgroup_rules: Any = None
    gpus: Any = None
    volumes_from: Any = None
    volume_driver: Any = None
    oom_kill_disable: Any = None
    oom_score_adj: Any = None
    links: Any = None
    external_links: Any = None
    isolation: Any = None
    cpu_rt_period: Any = None
    cpu_rt_runtime: Any = None
    blkio_config: Any = None
    build: Any = None
    env_file: Any = None
    credential_spec: Any = None
    container_name: str | None = Field(default=None, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$")
    external: Literal[False] = False

    @model_validator(mode="after")
    def _twice(self) -> ContainerSpecs:
        """Two words for one thing may not disagree."""
        for first, second in _SYNONYMS:
            one, two = getattr(self, first), getattr(self, second)
            if one not in (None, {}) and two not in (None, {}) and one != two:
                raise ValueError(f"{first} and {second} say different things; write one of them")
        return self

    def either(self, first: str, second: str) -> Value:
        """The one of two synonyms that was written."""
        one: Value = getattr(self, first)
        return one if one not in (None, {}) else getattr(self, second)


_SYNONYMS = (
    ("env", "environment"),
    ("cpu", "cpus"),
    ("memory", "mem_limit"),
    ("pids", "pids_limit"),
    ("storage", "disk"),
    ("stop_grace", "stop_grace_period"),
    ("name", "container_name"),
)

# Never sent, and no policy can open them; the reason stands in the error.
REFUSED: Mapping[str, str] = {
    "build": "images are built elsewhere: push one to a registry and write `image`",
    "env_file": "values come from the repository or from secret references, never from files of the host",
    "credential_spec": "reaches the host and is never allowed",
    "external_links": "reaches containers that are not ours; use a network",
    "links": "reaches containers by name; use a network",
}
# Key of specs → key of HostConfig, for what the policy judges and refuses.
DANGER: Mapping[str, str] = {
    "privileged": "Privileged",
    "pid": "PidMode",
    "ipc": "IpcMode",
    "uts": "UTSMode",
    "userns_mode": "UsernsMode",
    "cgroup": "CgroupnsMode",
    "cgroup_parent": "CgroupParent",
    "device_cgroup_rules": "DeviceCgroupRules",
    "gpus": "DeviceRequests",
    "volumes_from": "VolumesFrom",
    "volume_driver": "VolumeDriver",
    "oom_kill_disable": "OomKillDisable",
    "oom_score_adj": "OomScoreAdj",
    "isolation": "Isolation",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "blkio_config": "BlkioWeight",
}
