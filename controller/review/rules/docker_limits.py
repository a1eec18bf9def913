"""Rules about what one container may take from its host, and leave behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.review.finding import Severity
from controller.review.rules.controls import (
    AVAILABLE,
    LOGS,
    RESTORE,
)
from controller.review.rules.coverage import CONTAINER
from controller.review.rules.rule import Hit, Reason, Rule, Sample, hit, rule
from controller.review.rules.specs import holds_data, text

_NEVER_ENDS = frozenset({"-1", "unlimited", "infinity"})


@rule(
    "no-process-limit",
    Severity.INFO,
    Reason.LIMITS,
    "No limit of processes",
    why="A fork bomb in one container takes every process id of the host.",
    source="CIS Docker 1.6.0, 5.29",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1"}),
    good=Sample({"image": "web:1", "pids_limit": 100}),
)
def no_process_limit(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("pids_limit", entry.specs.get("pids"))
    if not isinstance(given, int) or given <= 0:
        yield hit(entry, "specs.pids_limit", "may start any number of processes", "pids_limit: 100, or its peak")


@rule(
    "parent-cgroup",
    Severity.MEDIUM,
    Reason.LIMITS,
    "Control group of its own choice",
    why="Outside of Docker's group it escapes the limits that were set for containers together.",
    source="CIS Docker 1.6.0, 5.25",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "cgroup_parent": "/system.slice"}),
    good=Sample({"image": "web:1"}),
)
def parent_cgroup(entry: Entry) -> Iterator[Hit]:
    if entry.specs.get("cgroup_parent"):
        yield hit(entry, "specs.cgroup_parent", "leaves Docker's control group", "remove cgroup_parent")


@rule(
    "unlimited-ulimit",
    Severity.LOW,
    Reason.LIMITS,
    "Limit without end",
    why="Files, processes and locked memory are shared with the host; one that takes all stops the rest.",
    source="CIS Docker 1.6.0, 5.19",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "ulimits": {"nofile": -1}}),
    good=Sample({"image": "web:1", "ulimits": {"nofile": {"soft": 1024, "hard": 4096}}}),
)
def unlimited_ulimit(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("ulimits")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        numbers = value.values() if isinstance(value, Mapping) else (value,)
        if {str(n) for n in numbers} & _NEVER_ENDS:
            yield hit(entry, f"specs.ulimits.{name}", f"sets no end to {name}", "name a number it needs at its peak")


@rule(
    "unlimited-swap",
    Severity.LOW,
    Reason.LIMITS,
    "Swap without limit",
    why="A leak then fills the swap of the host, and every neighbour waits for the disk.",
    source="Docker documentation, resource constraints, memory-swap",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "memory": "64MB", "memswap_limit": -1}),
    good=Sample({"image": "web:1", "memory": "64MB", "memswap_limit": "64MB"}),
)
def unlimited_swap(entry: Entry) -> Iterator[Hit]:
    if str(entry.specs.get("memswap_limit")) == "-1":
        yield hit(entry, "specs.memswap_limit", "may use all swap of the host", "memswap_limit equal to memory")


@rule(
    "oom-killer-tuned",
    Severity.MEDIUM,
    Reason.LIMITS,
    "Killed last when memory runs out",
    why="The kernel then ends something else first: a neighbour, or the Docker daemon.",
    source="Docker documentation, resource constraints, oom-kill-disable",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "oom_score_adj": -900}),
    good=Sample({"image": "web:1", "oom_score_adj": 100}),
)
def oom_killer_tuned(entry: Entry) -> Iterator[Hit]:
    score = entry.specs.get("oom_score_adj")
    if isinstance(score, int) and not isinstance(score, bool) and score < 0:
        yield hit(entry, "specs.oom_score_adj", "asks to be killed after others", "remove oom_score_adj")
    if entry.specs.get("oom_kill_disable") is True:
        yield hit(entry, "specs.oom_kill_disable", "asks never to be killed", "remove it and set a memory limit")


@rule(
    "logs-dropped",
    Severity.MEDIUM,
    Reason.AVAILABILITY,
    "Logs dropped",
    why="After an incident nobody can say what happened.",
    source="PCI DSS 4.0, 10.2.1; CIS Docker 1.6.0, 2.13",
    kinds=CONTAINER,
    controls=LOGS,
    bad=Sample({"image": "web:1", "logging": {"driver": "none"}}),
    good=Sample({"image": "web:1", "logging": {"driver": "local"}}),
)
def logs_dropped(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("logging")
    if isinstance(given, Mapping) and str(given.get("driver")).lower() == "none":
        yield hit(entry, "specs.logging.driver", "writes no log", "driver: local, or one that sends them on")


@rule(
    "logs-unbounded",
    Severity.LOW,
    Reason.LIMITS,
    "Logs without bound",
    why="json-file keeps every line for ever; a full disk stops the host.",
    source="Docker documentation, json-file logging driver, max-size",
    kinds=CONTAINER,
    controls=AVAILABLE,
    bad=Sample({"image": "web:1", "logging": {"driver": "json-file"}}),
    good=Sample({"image": "web:1", "logging": {"driver": "json-file", "options": {"max-size": "10m"}}}),
)
def logs_unbounded(entry: Entry) -> Iterator[Hit]:
    given = entry.specs.get("logging")
    if isinstance(given, Mapping) and given.get("driver") == "json-file":
        options = given.get("options")
        if not isinstance(options, Mapping) or "max-size" not in options:
            yield hit(entry, "specs.logging", "keeps its logs for ever", "options: {max-size: 10m, max-file: '3'}")


@rule(
    "killed-at-once",
    Severity.MEDIUM,
    Reason.DATA,
    "Data store without time to stop",
    why="What was not written yet is lost at every update.",
    source="design.md 2 (data-loss); Docker documentation, stop_grace_period",
    kinds=CONTAINER,
    controls=RESTORE,
    bad=Sample({"image": "postgres:16", "stop_grace_period": "0s"}, type="database"),
    good=Sample({"image": "postgres:16", "stop_grace_period": "60s"}, type="database"),
)
def killed_at_once(entry: Entry) -> Iterator[Hit]:
    for name in ("stop_grace_period", "stop_grace"):
        if str(entry.specs.get(name)) in ("0", "0s") and holds_data(entry):
            yield hit(entry, f"specs.{name}", "is killed at once when it is updated", f"{name}: 60s")
    if text(entry, "stop_signal") in ("SIGKILL", "KILL", "9") and holds_data(entry):
        yield hit(entry, "specs.stop_signal", "is killed when it is updated", "remove stop_signal")


RULES: tuple[Rule, ...] = (
    no_process_limit,
    parent_cgroup,
    unlimited_ulimit,
    unlimited_swap,
    oom_killer_tuned,
    logs_dropped,
    logs_unbounded,
    killed_at_once,
)
