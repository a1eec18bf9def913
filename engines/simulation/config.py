"""What a target of this engine may say in the server's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.blueprint.names import did_you_mean, shown
from controller.blueprint.units import cpu_cores, size_bytes
from controller.errors import InvalidInput
from controller.plan.health import Health, HealthState
from controller.plan.resource import Capacity
from engines.engine import Binding
from engines.simulation.faults import Fault, Rule

KEYS: Mapping[str, str] = {
    "path": "state file; default STATE/simulation/TARGET.json",
    "latency_ms": "how long each call takes, milliseconds",
    "capacity": "{cpu, memory, disk} of the platform; without it nothing is counted",
    "fail": "list of {call: N | match: 'VERB NAME', when: before|after, times: N (0: always),"
    " error: transient|conflict|refused|unclear|hang|gap}",
    "health": "{OBJECT NAME: healthy|progressing|degraded|missing|suspended|unknown}: what checks answer",
}
_COMMON = ("engine", "read_only")  # what every target may say; read by others
_FAIL_KEYS = ("call", "match", "when", "error", "times")
_LATENCY_MS_MAX = 600_000


@dataclass(frozen=True, slots=True)
class Config:
    """One simulated target, checked."""

    path: Path
    latency_s: float = 0.0
    capacity: Capacity = Capacity()
    rules: tuple[Rule, ...] = ()
    health: Mapping[str, Health] | None = None


def read_config(binding: Binding) -> Config:
    """Raises InvalidInput naming the key and what to write instead."""
    given, where = binding.config, f"targets.{binding.target}"
    _known(given, (*KEYS, *_COMMON), where)
    path = given.get("path")
    if path is not None and not isinstance(path, str):
        raise InvalidInput(f"{where}.path must be text")
    default = binding.state_dir / "simulation" / f"{binding.target}.json"
    return Config(
        path=Path(path).expanduser() if path else default,
        latency_s=_whole(given, "latency_ms", where, 0, _LATENCY_MS_MAX) / 1000,
        capacity=_capacity(given.get("capacity", {}), f"{where}.capacity"),
        rules=_rules(given.get("fail", ()), f"{where}.fail"),
        health=_healths(given.get("health", {}), f"{where}.health"),
    )


def _capacity(value: object, where: str) -> Capacity:
    given = _map(value, where)
    _known(given, ("cpu", "memory", "disk"), where)
    try:
        return Capacity(
            cpu_millicores=int(cpu_cores(given["cpu"]) * 1000) if "cpu" in given else None,
            memory_bytes=size_bytes(given["memory"]) if "memory" in given else None,
            disk_bytes=size_bytes(given["disk"]) if "disk" in given else None,
        )
    except ValueError as error:
        raise InvalidInput(f"{where}: {error}") from error


def _rules(value: object, where: str) -> tuple[Rule, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"{where} must be a list")
    return tuple(_rule(_map(item, f"{where}.{i}"), f"{where}.{i}") for i, item in enumerate(value))


def _rule(given: Mapping[str, Any], where: str) -> Rule:
    _known(given, _FAIL_KEYS, where)
    if ("call" in given) == ("match" in given):
        raise InvalidInput(f"{where} needs either call or match")
    when, error = given.get("when", "before"), given.get("error", "transient")
    if when not in ("before", "after"):
        raise InvalidInput(f"{where}.when must be before or after")
    if error not in tuple(Fault):
        raise InvalidInput(f"{where}.error must be one of {', '.join(Fault)}")
    return Rule(
        fault=Fault(error),
        call=_whole(given, "call", where, 1, 10**9) if "call" in given else None,
        match=str(given["match"]) if "match" in given else None,
        after=when == "after",
        times=_whole(given, "times", where, 0, 10**9) if "times" in given else 1,
    )


def _healths(value: object, where: str) -> Mapping[str, Health]:
    given = _map(value, where)
    wrong = next((n for n, state in given.items() if state not in tuple(HealthState)), None)
    if wrong is not None:
        raise InvalidInput(f"{where}.{shown(wrong, 80)} must be one of {', '.join(HealthState)}")
    return {
        n: Health(HealthState(s), "" if s == "healthy" else "as the target's configuration says")
        for n, s in given.items()
    }


def _map(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} must be a map")
    return value


def _known(given: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            raise InvalidInput(f"{where} has no key {shown(str(key), 80)}{did_you_mean(str(key), known)}")


def _whole(given: Mapping[str, object], key: str, where: str, least: int, most: int) -> int:
    value = given.get(key, least)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(f"{where}.{key} must be a whole number from {least} to {most:,}")
    return value
