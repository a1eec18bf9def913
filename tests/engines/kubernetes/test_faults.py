"""Every request of a run, broken in every way, on a real API server: a lost answer is never a failure, nothing is made
twice, and every run ends at its target or where it began (B1). What was not read is never absent (B2)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.blueprint.entry import Entry
from controller.plan.resource import Snapshot
from controller.plan.step import Effect, OpId, Phase, Receipt, ReceiptState, Step
from engines.engine import Ask, Conflict, EngineError, FoundState, Refused, Transient, Unclear, Values
from engines.kubernetes.engine import KubernetesEngine
from engines.kubernetes.objects import kind_of, place_of
from tests.engines.kubernetes.driving import INSTALL, SCOPE, binding, config_map, deployment, entry, expand
from tests.engines.kubernetes.faulty_proxy import CANARY, Fault, FaultyProxy, Plan, at_once
from tests.engines.running import Done, Held, MemorySeal, ordered
from tests.servers.kubernetes import ControlPlane
from tests.servers.process import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]

Report = Callable[..., None]
_TRIES = 8
BEFORE = (entry("it", specs={"manifests": [config_map("a", {"x": "1"}), config_map("b", {"x": "1"})]}),)
AFTER = (entry("it", specs={"manifests": [config_map("a", {"x": "2"}), deployment("c", replicas=0)]}),)
SHOWN = {"configmaps": "/api/v1/namespaces/prod/configmaps", "deployments": "/apis/apps/v1/namespaces/prod/deployments"}


@pytest.fixture
def proxy(cluster: ControlPlane) -> Iterator[FaultyProxy]:
    made = FaultyProxy(cluster)
    yield made
    made.close()


class Failed(Exception):
    """A step that ends the run: everything is undone."""


@dataclass(slots=True)
class Run:
    """The contract's answers to each error, as the executor gives them, without journal and waiting."""

    engine: KubernetesEngine
    name: str
    seal: MemorySeal = field(default_factory=MemorySeal)
    done: list[Done] = field(default_factory=list)
    sent: int = 0

    async def through(self, effects: Sequence[Effect]) -> bool:
        """True if it reached its target, False if all of it was undone."""
        try:
            for _, step in ordered(effects, self.name):
                self.done.append(await self._at_last(step) if step.phase is Phase.RETIRE else await self._step(step))
            return True
        except Failed:
            for one in reversed(self.done):
                for step in self.engine.inverse(one.step, one.prior, one.receipt):
                    await self._at_last(step)
            return False

    async def _at_last(self, step: Step) -> Done:
        """What fails in RETIRE or while undoing is tried again: by itself, or by the person who finds it parked."""
        for _ in range(_TRIES):
            with contextlib.suppress(Failed):
                return await self._step(step)
        raise AssertionError(f"{step.key} could not be ended")

    async def _step(self, step: Step) -> Done:
        self.sent += 1
        op = OpId(f"{self.name}op{self.sent}")
        for _ in range(_TRIES):
            prior = await self._read(lambda: self.engine.prior(step, self.seal))
            try:
                values = Values(unseal=self.seal.open)
                receipt = await self.engine.do(op, step, prior, values, Held())
            except (Transient, Conflict):
                continue
            except (Unclear, Refused) as error:
                found = await self._read(lambda: self.engine.find(op, step))
                if found.state is FoundState.ACTED:
                    return Done(op, step, prior, await self._ended(found.receipt))
                if isinstance(error, Refused):
                    raise Failed(str(error)) from None
                continue
            return Done(op, step, prior, await self._ended(receipt))
        raise Failed("too many tries")

    async def _read(self, reading: Callable[[], Any]) -> Any:
        for _ in range(_TRIES):
            try:
                return await reading()
            except (Transient, Unclear):
                await at_once()
            except EngineError as error:
                raise Failed(str(error)) from None
        raise Failed("cannot be read")

    async def _ended(self, receipt: Receipt) -> Receipt:
        while receipt.state is ReceiptState.RUNNING:
            await at_once()
            with contextlib.suppress(EngineError):  # the receipt is durable: it is asked again
                receipt = await self.engine.poll(receipt)
        return receipt


async def look(engine: KubernetesEngine, entries: Sequence[Entry]) -> tuple[Snapshot, tuple[Effect, ...]]:
    wanted, problems = expand(entries) if entries else ([], [])
    assert not problems
    seen = await engine.observe(Ask(INSTALL, frozenset({SCOPE}), frozenset(d.key for d in wanted)))
    return seen, await engine.preview(wanted, seen, SCOPE)


async def bring(plane: ControlPlane, entries: Sequence[Entry], name: str) -> None:
    engine = KubernetesEngine.open(binding(plane))
    _, effects = await look(engine, entries)
    assert await Run(engine, name).through(effects)
    await engine.close()


def settled(cluster: ControlPlane, expected: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands once it is `expected`, or after a while. What is being deleted stands until the collector comes by;
    where a delete was answered with 404, nobody waits for that."""
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: world(cluster) == expected, timeout_s=20, what="the collector")
    return world(cluster)


def world(plane: ControlPlane) -> Mapping[str, object]:
    """Names and content, past the engine."""
    found: dict[str, object] = {}
    for kind, path in SHOWN.items():
        for one in plane.api("GET", path)["items"]:
            if one["metadata"]["name"] != "kube-root-ca.crt":
                found[f"{kind}/{one['metadata']['name']}"] = one.get("data") or one["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("fault", list(Fault), ids=str)
async def test_every_request_broken_once_ends_at_the_target_or_where_it_began(
    fault: Fault, proxy: FaultyProxy, cluster: ControlPlane, report_n: Report
) -> None:
    number, points, wrong = 0, 0, []
    await bring(cluster, BEFORE, "before")
    start = world(cluster)
    await bring(cluster, AFTER, "after")
    target = world(cluster)
    while True:
        number += 1
        await bring(cluster, BEFORE, f"back{number}")
        proxy.plan = Plan(fault, number, _counts(fault))
        engine = KubernetesEngine.open(binding(cluster, kubeconfig=proxy.kubeconfig))
        try:
            seen, effects = await look(engine, AFTER)
            assert not seen.gaps or proxy.plan.struck
            reached = await Run(engine, f"run{number}").through(effects) if not seen.gaps else False
        except EngineError as error:
            assert CANARY not in str(error) or fault is not Fault.UNAUTHORIZED, "I28: never echoed from a failed login"
            reached = False
        finally:
            await engine.close()
        if not proxy.plan.struck:
            break
        points += 1
        expected = target if reached else start
        if (after := settled(cluster, expected)) != expected:
            wrong.append(f"{number}: reached {reached}: {after}")
    report_n("B1 kubernetes faults", points, len(wrong))
    assert not wrong, wrong
    assert points > 3


def _counts(fault: Fault) -> Callable[[str, str], bool]:
    """Every request; a false 404 only where something was written, because on a read it is what absence looks like."""
    if fault is Fault.NOT_FOUND_AFTER:
        return lambda method, path: method in ("PATCH", "DELETE") and "dryRun" not in path
    return lambda method, path: True


@pytest.mark.parametrize("fault", list(Fault), ids=str)
async def test_a_reading_that_fails_creates_and_deletes_nothing(
    fault: Fault, proxy: FaultyProxy, cluster: ControlPlane, report_n: Report
) -> None:
    """Each read of a pass broken in turn: the pass fails, or tells the gap, or has read everything after all."""
    await bring(cluster, BEFORE, "before")
    points = 0
    for number in range(1, 12):
        proxy.plan = Plan(fault, number, lambda method, path: method == "GET")
        engine = KubernetesEngine.open(binding(cluster, kubeconfig=proxy.kubeconfig))
        try:
            seen, effects = await look(engine, BEFORE)
            hidden = [e for e in effects if e.steps and not any(g.hides(e.key) for g in seen.gaps)]
            assert not hidden, hidden
        except EngineError:
            pass
        finally:
            await engine.close()
        points += proxy.plan.struck
    report_n("B2 kubernetes unknown", points)
    assert points


async def test_what_the_target_may_not_read_is_a_gap(cluster: ControlPlane, report_n: Report) -> None:
    """An account that may read one kind of two."""
    await bring(cluster, AFTER, "after")
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
    ]
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "half", "namespace": "prod"}},
        *(_role(place, rules) for place in ("prod", "default")),
        *(_binding(place) for place in ("prod", "default")),
    )
    engine = KubernetesEngine.open(binding(cluster, impersonate="prod/half"))
    seen, _ = await look(engine, ())
    await engine.close()
    assert [g.kind for g in seen.gaps] == ["kubernetes/Deployment.apps"]
    assert {place_of(s.key)[1] for s in seen.objects if kind_of(s.key) == "ConfigMap"} >= {"a"}
    report_n("B2 kubernetes unknown", 1)


def _role(place: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    api = "rbac.authorization.k8s.io/v1"
    return {"apiVersion": api, "kind": "Role", "metadata": {"name": "half", "namespace": place}, "rules": rules}


def _binding(place: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "half", "namespace": place},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "half"},
        "subjects": [{"kind": "ServiceAccount", "name": "half", "namespace": "prod"}],
    }
