"""Tests whose server cannot run here are left out and named at the end; under CI=true they fail instead.

A test says what it needs by using a fixture (`docker_host`, `gitea`…) or by a mark (`docker`, `container`…).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest

from tests.servers import (
    debian_base,
    dockerd,
    gitea,
    kubernetes,
    postgres,
    prometheus,
    published,
    registry,
    signing,
    sops,
    temporal,
)
from tests.servers.descriptions import GITHUB_API, GITHUB_WEBHOOKS, GITLAB_API, missing_of

Why = str

NEEDS: dict[str, Callable[[], Why | None]] = {
    "debian": debian_base.missing,
    "docker": dockerd.missing,
    "gitea": gitea.missing,
    "github_api": missing_of(GITHUB_API, GITHUB_WEBHOOKS),
    "gitlab_api": missing_of(GITLAB_API),
    "kubernetes": kubernetes.missing,
    "postgres": postgres.missing,
    "prometheus": prometheus.missing,
    "published": published.missing,
    "registry": registry.missing,
    "signing": signing.missing,
    "sops": sops.missing,
    "temporal": temporal.missing,
}
_OF_FIXTURE = {"docker_daemon": "docker", "docker_host": "docker", "cluster": "kubernetes"} | {
    name: name for name in NEEDS
}
_OF_MARK = {"container": ("debian", "docker")}
_NOT_RUN = pytest.StashKey[dict[Why, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOT_RUN] = {}


def needed_by(item: pytest.Item) -> set[str]:
    """The names of the servers that `item` needs, from its fixtures and marks."""
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    marks = {mark.name for mark in item.iter_markers()}
    by_mark = {name for mark in marks for name in _OF_MARK.get(mark, (mark,)) if name in NEEDS}
    return by_mark | {_OF_FIXTURE[fixture] for fixture in fixtures if fixture in _OF_FIXTURE}


def why_not(item: pytest.Item) -> Why | None:
    """What the machine lacks for `item`, or None."""
    absent = {name: NEEDS[name]() for name in sorted(needed_by(item))}
    return "; ".join(f"{name}: {why}" for name, why in absent.items() if why) or None


def complete_run_wanted() -> bool:
    """Under CI=true a missing server is a failure."""
    return os.environ.get("CI") == "true"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if complete_run_wanted():
        return
    reasons = {item: why_not(item) for item in items}
    left_out = [item for item in items if reasons[item]]
    for item in left_out:
        config.stash[_NOT_RUN].setdefault(str(reasons[item]), []).append(item.nodeid)
    if left_out:
        items[:] = [item for item in items if not reasons[item]]
        config.hook.pytest_deselected(items=left_out)


def pytest_runtest_setup(item: pytest.Item) -> None:
    why = why_not(item)
    if why:
        pytest.fail(f"a server is missing, and CI=true wants the whole run: {why}", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """pytest-xdist: each worker collects the same tests; what one left out all left out."""
    config: pytest.Config = getattr(node, "config")  # noqa: B009 - xdist's node has no types
    config.stash[_NOT_RUN].update(getattr(node, "workeroutput", {}).get("not_run", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["not_run"] = session.config.stash[_NOT_RUN]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    not_run = config.stash[_NOT_RUN]
    if not_run:
        terminalreporter.section("not run on this machine")
    for why, names in sorted(not_run.items()):
        terminalreporter.write_line(f"{len(names)} tests need {why}")
        for name in names:
            terminalreporter.write_line(f"  {name}")
