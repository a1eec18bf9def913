"""Findings → settings that mend them, where there is one answer. What needs a person's knowledge is left to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from controller.blueprint.editing import Setting
from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.review.finding import Finding
from controller.review.rules.specs import ports

Settings = Sequence[tuple[str, Value]]
# Rule → what the fields are set to. A size, a name or a password is nobody's guess and stands in no line here.
_ALWAYS: Mapping[str, Settings] = {
    "privileged": [("specs.privileged", False)],
    "no-restart-policy": [("specs.restart", "unless-stopped")],
    "logs-unbounded": [("specs.logging.options.max-size", "10m"), ("specs.logging.options.max-file", "3")],
    "logs-dropped": [("specs.logging.driver", "local")],
    "killed-at-once": [("specs.stop_grace_period", "60s")],
    "login-from-anywhere": [("specs.env.MYSQL_ROOT_HOST", "localhost")],
    "no-backup": [("backup.enabled", True), ("backup.retention_days", 30)],
    "guest-no-backup": [("backup.enabled", True), ("backup.retention_days", 14)],
    "short-retention": [("backup.retention_days", 30)],
    "data-unprotected": [("lifecycle.protect", True)],
    "volume-goes-with-entry": [("lifecycle.on_delete", "retain")],
    "guest-firewall-off": [("specs.firewall", True)],
    "guest-stays-down": [("specs.onboot", True)],
    "guest-emulated": [("specs.kvm", True)],
    "lxc-shell-console": [("specs.cmode", "tty")],
}


@dataclass(frozen=True, slots=True)
class Mended:
    """One finding and what mends it."""

    finding: Finding
    settings: tuple[Setting, ...]


def mends(entries: Iterable[Entry], findings: Iterable[Finding]) -> tuple[tuple[Mended, ...], tuple[Finding, ...]]:
    """What can be mended, each field set once, and the findings left to people."""
    by_id = {e.id: e for e in entries}
    mended, left = [], []
    for finding in findings:
        entry = by_id.get(finding.resource)
        settings = tuple(Setting(entry, p, v) for p, v in _settings(entry, finding)) if entry else ()
        if settings:
            mended.append(Mended(finding, settings))
        else:
            left.append(finding)
    return tuple(mended), tuple(left)


def _settings(entry: Entry, finding: Finding) -> Settings:
    if finding.rule in _ALWAYS:
        return _ALWAYS[finding.rule]
    return _WORKED_OUT[finding.rule](entry, finding) if finding.rule in _WORKED_OUT else ()


def _to_loopback(entry: Entry, finding: Finding) -> Settings:
    """`5432:5432` → `127.0.0.1:5432:5432`; only the short form without an address is rewritten."""
    index = finding.path.removeprefix("specs.ports.")
    written = entry.specs.get("ports")
    listed = list(written) if isinstance(written, list | tuple) else []
    item = listed[int(index)] if index.isdigit() and int(index) < len(listed) else None
    plain = isinstance(item, str) and item.partition("/")[0].count(":") == 1
    return [(finding.path, f"127.0.0.1:{item}")] if plain else ()


def _probe(entry: Entry, finding: Finding) -> Settings:
    """A connection to the port it publishes first."""
    port = next((p.target for p in ports(entry) if p.target), None)
    return [("health.tcp.port", port)] if port else ()


def _swap_as_memory(entry: Entry, finding: Finding) -> Settings:
    memory = entry.specs.get("memory", entry.specs.get("mem_limit"))
    return [("specs.memswap_limit", memory)] if isinstance(memory, str) else ()


_WORKED_OUT: Mapping[str, Callable[[Entry, Finding], Settings]] = {
    "database-port-public": _to_loopback,
    "admin-page-public": _to_loopback,
    "no-health-check": _probe,
    "unlimited-swap": _swap_as_memory,
}


def has_mend(finding: Finding) -> bool:
    """True if a rule of this kind has one answer; where it is written may still forbid it."""
    return finding.rule in _ALWAYS or finding.rule in _WORKED_OUT
