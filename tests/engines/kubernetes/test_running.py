"""What a cluster does and refuses (B20), seen by the engine on a real control plane: bounded, and told clearly."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from controller.blueprint.entry import Entry, Lifecycle, Probe, ProbeKind
from controller.plan.health import HealthState
from controller.plan.resource import Allow, ObjectKey
from controller.plan.step import Action, Effect, Phase, ReceiptState
from engines.engine import Ask, Conflict, Refused, Transient
from engines.kubernetes.engine import KubernetesEngine
from tests.engines.kubernetes.driving import (
    INSTALL,
    SCOPE,
    Body,
    binding,
    by_hand,
    config_map,
    deployment,
    entry,
    expand,
)
from tests.engines.running import Runner
from tests.servers.kubernetes import BROKEN_IMAGE, ControlPlane

pytestmark = pytest.mark.kubernetes

Report = Callable[..., None]
_ROW = "B20 kubernetes refusals"
_PLATFORM = Probe(ProbeKind.PLATFORM)
_CHECKS_MAX = 400
EVERYTHING = Allow(
    options={"kubernetes.kinds": ("*", "Thing.example.org"), "kubernetes.namespaces": ("prod", "extra-*")}
)


async def soon() -> None:
    """The cluster's own controllers are at work meanwhile."""
    await asyncio.sleep(0.05)


@pytest.fixture
async def engine(cluster: ControlPlane) -> AsyncIterator[KubernetesEngine]:
    opened = KubernetesEngine.open(binding(cluster))
    yield opened
    await opened.close()


def manifest(name: str, *bodies: Body, **more: Any) -> Entry:
    return entry(name, specs={"manifests": list(bodies)}, **more)


async def effects(engine: KubernetesEngine, entries: Sequence[Entry], allow: Allow | None = None) -> tuple[Effect, ...]:
    """Without the scope's record."""
    wanted, problems = expand(entries, allow) if entries else ([], [])
    assert not problems, problems
    seen = await engine.observe(Ask(INSTALL, frozenset({SCOPE}), frozenset(d.key for d in wanted)))
    return await engine.preview(wanted, seen, SCOPE)


async def bring(engine: KubernetesEngine, *entries: Entry, run: str = "run1", allow: Allow | None = None) -> Runner:
    runner = Runner(engine, run, pause=soon, allow=allow or Allow())
    await runner.apply(await effects(engine, entries, allow))
    return runner


def counted(found: Sequence[Effect]) -> list[Effect]:
    return [e for e in found if not e.bookkeeping]


def quota(**hard: str) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "prod"},
        "spec": {"hard": hard},
    }


# --- refusals -----------------------------------------------------------------------------------------------------


async def test_a_quota_is_told_by_the_plan(engine: KubernetesEngine, cluster: ControlPlane, report_n: Report) -> None:
    cluster.apply(quota(**{"count/configmaps": "1"}))
    while not (cluster.get("resourcequota", "q", "prod") or {}).get("status", {}).get("used"):
        await soon()
    with pytest.raises(Refused, match="exceeded quota"):
        await effects(engine, [manifest("it", config_map("a", {"x": "1"}))])
    report_n(_ROW, 1)


async def test_an_admission_policy_that_denies_is_told_by_the_plan_with_its_words(
    engine: KubernetesEngine, cluster: ControlPlane, report_n: Report
) -> None:
    api = "admissionregistration.k8s.io/v1"
    match = {
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]
    }
    rule = {"expression": "!has(object.data) || !('bad' in object.data)", "message": "bad is not allowed here"}
    policy = {"matchConstraints": match, "validations": [rule]}
    cluster.apply(
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "no-bad"}, "spec": policy},
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "no-bad"},
            "spec": {"policyName": "no-bad", "validationActions": ["Deny"]},
        },
    )
    try:
        told = ""
        for _ in range(_CHECKS_MAX):
            try:
                await effects(engine, [manifest("it", config_map("a", {"bad": "1"}))])
            except Refused as error:
                told = str(error)
                break
            await soon()
        assert "bad is not allowed here" in told and "shop.yaml:3:5" in told
    finally:
        cluster.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-bad")
    report_n(_ROW, 1)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Something that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for one in held:
            one.close()


async def test_a_webhook_that_never_answers_is_something_that_may_pass(
    engine: KubernetesEngine, cluster: ControlPlane, silent_port: int, report_n: Report
) -> None:
    hook = {
        "name": "silent.example.org",
        "clientConfig": {"url": f"https://127.0.0.1:{silent_port}/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "prod"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
        "failurePolicy": "Fail",
    }
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"
    cluster.apply({"apiVersion": api, "kind": kind, "metadata": {"name": "silent"}, "webhooks": [hook]})
    try:
        for _ in range(_CHECKS_MAX):
            try:
                await effects(engine, [manifest("it", config_map("a", {"x": "1"}))])
            except Transient as error:
                assert "silent.example.org" in str(error)
                break
            await soon()
        else:
            raise AssertionError("the webhook was never asked")
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", "silent")
    report_n(_ROW, 1)


async def test_a_kind_that_is_not_served_is_refused_by_name(engine: KubernetesEngine, report_n: Report) -> None:
    body = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t"}}
    with pytest.raises(Refused, match=r"serves no Thing\.example\.org"):
        await effects(engine, [manifest("it", body)])
    report_n(_ROW, 1)


async def test_a_namespace_that_is_not_there_is_told_by_the_plan(engine: KubernetesEngine, report_n: Report) -> None:
    with pytest.raises(Refused, match='namespaces "extra-1" not found'):
        await effects(engine, [manifest("it", config_map("a", {}, "extra-1"))], EVERYTHING)
    report_n(_ROW, 1)


async def test_a_field_the_kind_does_not_have_is_refused(engine: KubernetesEngine, report_n: Report) -> None:
    body = deployment("web")
    body["spec"]["replcas"] = 2
    with pytest.raises(Refused, match="replcas"):
        await effects(engine, [manifest("it", body)])
    report_n(_ROW, 1)


async def test_an_image_that_cannot_be_pulled_is_named_and_undone(
    engine: KubernetesEngine, cluster: ControlPlane, report_n: Report
) -> None:
    await bring(engine, manifest("web", deployment("web")))
    runner = await bring(engine, manifest("web", deployment("web", BROKEN_IMAGE)), run="run2")
    key = ObjectKey("kubernetes/Deployment.apps", "prod/web")
    for _ in range(_CHECKS_MAX):
        health = await engine.check(key, _PLATFORM)
        if "ImagePullBackOff" in health.reason:
            break
        await soon()
    assert health.state is HealthState.PROGRESSING and "ImagePullBackOff" in health.reason
    await runner.undo(runner.done)
    found = cluster.get("deployment", "web", "prod")
    assert found and found["spec"]["template"]["spec"]["containers"][0]["image"] == "alma-test/web:1.0"
    assert not [e for e in await effects(engine, [manifest("web", deployment("web"))]) if e.steps]
    report_n(_ROW, 1)


async def test_a_finalizer_that_hangs_is_reported_and_not_waited_on_for_ever(
    engine: KubernetesEngine, cluster: ControlPlane, report_n: Report
) -> None:
    await bring(engine, manifest("it", config_map("a", {"x": "1"})))
    by_hand(cluster, "/api/v1/namespaces/prod/configmaps/a", {"metadata": {"finalizers": ["example.org/never"]}})
    (gone,) = counted(await effects(engine, []))
    runner = Runner(engine, "run2")
    prior = await engine.prior(gone.steps[0], runner.seal)
    receipt = await engine.do(runner.next_op(gone.key), gone.steps[0], prior, runner.values(), runner.fence)
    asked = await engine.poll(receipt)
    assert asked.state is ReceiptState.RUNNING and "example.org/never" in asked.message
    (told,) = counted(await effects(engine, []))
    assert not told.steps and "example.org/never" in told.reason
    (wanted,) = counted(await effects(engine, [manifest("it", config_map("a", {"x": "1"}))]))
    assert not wanted.steps and "is being deleted" in wanted.reason
    by_hand(cluster, "/api/v1/namespaces/prod/configmaps/a", {"metadata": {"finalizers": None}})
    for _ in range(_CHECKS_MAX):
        if (await engine.poll(receipt)).state is ReceiptState.DONE:
            break
        await soon()
    assert (await engine.poll(receipt)).state is ReceiptState.DONE
    report_n(_ROW, 1)


async def test_a_name_that_is_taken_is_told_with_its_uid(
    engine: KubernetesEngine, cluster: ControlPlane, report_n: Report
) -> None:
    cluster.apply(config_map("a", {"x": "theirs"}, "prod"))
    (one,) = counted(await effects(engine, [manifest("it", config_map("a", {"x": "1"}))]))
    assert one.action is Action.CREATE and "is not ours" in one.reason and "adopt: UID" in one.reason
    with pytest.raises(Conflict):
        await Runner(engine).send(one.steps[0])
    found = cluster.get("configmap", "a", "prod")
    assert found and found["data"] == {"x": "theirs"}
    report_n(_ROW, 1)


async def test_credentials_that_are_not_accepted_are_told_without_them(cluster: ControlPlane, report_n: Report) -> None:
    file = cluster.folder / "expired"
    file.write_text(str(cluster.config("c4nary-token")).replace("'", '"'))
    engine = KubernetesEngine.open(binding(cluster, kubeconfig=str(file)))
    with pytest.raises(Refused, match="does not accept our credentials") as told:
        await engine.observe(Ask(INSTALL, frozenset({SCOPE})))
    await engine.close()
    assert "c4nary" not in str(told.value)
    report_n(_ROW, 1)


async def test_a_token_that_ran_out_is_read_again_where_it_came_from(
    engine: KubernetesEngine, cluster: ControlPlane, report_n: Report
) -> None:
    file = cluster.folder / "renewed"
    file.write_text(str(cluster.config("expired")).replace("'", '"'))
    late = KubernetesEngine.open(binding(cluster, kubeconfig=str(file)))
    with pytest.raises(Refused):
        await late.observe(Ask(INSTALL, frozenset({SCOPE})))
    file.write_text(str(cluster.config(cluster.token)).replace("'", '"'))
    assert not (await late.observe(Ask(INSTALL, frozenset({SCOPE})))).gaps
    await late.close()
    report_n(_ROW, 1)


async def test_what_the_target_is_fenced_off_from_is_refused(cluster: ControlPlane, report_n: Report) -> None:
    engine = KubernetesEngine.open(binding(cluster, namespaces=["other"]))
    with pytest.raises(Refused, match="may not touch namespace prod"):
        await effects(engine, [manifest("it", config_map("a", {}))])
    await engine.close()
    report_n(_ROW, 1)


# --- order, ownership, drift ------------------------------------------------------------------------------------------


def definition(plural: str = "things", kind: str = "Thing") -> Body:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.org"},
        "spec": {
            "group": "example.org",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


async def test_namespaces_and_definitions_come_before_what_needs_them(
    engine: KubernetesEngine, cluster: ControlPlane
) -> None:
    wanted = manifest(
        "all",
        {
            "apiVersion": "example.org/v1",
            "kind": "Thing",
            "metadata": {"name": "t", "namespace": "extra-1"},
            "spec": {"x": 1},
        },
        definition(),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "extra-1"}},
    )
    found = await effects(engine, [wanted], EVERYTHING)
    first = {e.key.kind.rpartition("/")[2] for e in found if any(s.phase is Phase.STAGE for s in e.steps)}
    assert first == {"Namespace", "CustomResourceDefinition.apiextensions.k8s.io", "ConfigMap"}, "and the record"
    for effect in found:
        for step in (s for s in effect.steps if s.check):
            assert step.phase is Phase.STAGE, "waited for before anything else goes on"
    runner = Runner(engine, pause=soon, allow=EVERYTHING)
    order = sorted(found, key=lambda e: (not e.bookkeeping, e.steps[0].phase is not Phase.STAGE))
    for effect in order:
        await runner.apply([effect])
        while effect.probe and (await engine.check(effect.key, effect.probe)).state is not HealthState.HEALTHY:
            await soon()
    assert cluster.api("GET", "/apis/example.org/v1/namespaces/extra-1/things/t")["spec"] == {"x": 1}
    gone = counted(await effects(engine, []))
    assert {e.disruption.value for e in gone if e.key.kind != "kubernetes/Thing.example.org"} == {"data-loss"}
    assert [e.asks for e in sorted(gone, key=lambda e: e.order)] == [False, True, True], "a person confirms these"
    assert [e.key.kind.rpartition("/")[2] for e in sorted(gone, key=lambda e: e.order)] == [
        "Thing.example.org",
        "CustomResourceDefinition.apiextensions.k8s.io",
        "Namespace",
    ]
    cluster.kubectl("delete", "crd", "things.example.org")


async def test_the_record_finds_what_to_prune_when_nobody_remembers(cluster: ControlPlane) -> None:
    first = KubernetesEngine.open(binding(cluster))
    await bring(first, manifest("it", config_map("a", {"x": "1"}), deployment("b", replicas=0)))
    await first.close()
    record = cluster.get("configmap", "alma.home.prod", "default")
    assert record and record["data"] == {"ConfigMap": "prod", "Deployment.apps": "prod"}
    other = KubernetesEngine.open(binding(cluster))
    await bring(other, run="run2")
    assert cluster.get("configmap", "a", "prod") is None and cluster.get("deployment", "b", "prod") is None
    assert cluster.get("configmap", "alma.home.prod", "default") is None
    await other.close()


async def test_the_plan_names_who_changed_a_field_and_when(engine: KubernetesEngine, cluster: ControlPlane) -> None:
    await bring(engine, manifest("it", config_map("a", {"x": "1"})))
    by_hand(cluster, "/api/v1/namespaces/prod/configmaps/a", {"data": {"x": "2", "theirs": "3"}}, "kubectl-edit")
    (drifted,) = counted(await effects(engine, [manifest("it", config_map("a", {"x": "1"}))]))
    assert [(c.path, c.before, c.after) for c in drifted.fields] == [("data.x", "2", "1")]
    assert "data.x from kubectl-edit at 20" in drifted.reason
    assert drifted.fields[0].by.startswith("kubectl-edit at 20")
    await bring(engine, manifest("it", config_map("a", {"x": "1"})), run="run2")
    found = cluster.get("configmap", "a", "prod")
    assert found and found["data"] == {"x": "1", "theirs": "3"}, "what others set stays theirs"


async def test_defaults_and_other_spellings_are_no_drift(engine: KubernetesEngine) -> None:
    web = deployment("web", resources={"requests": {"cpu": "1000m", "memory": "1024Mi"}})
    await bring(engine, manifest("web", web))
    assert not [e for e in await effects(engine, [manifest("web", web)]) if e.steps]


async def test_an_ignored_field_stays_as_others_set_it(engine: KubernetesEngine, cluster: ControlPlane) -> None:
    one = manifest("web", deployment("web"), lifecycle=Lifecycle(ignore=("spec.replicas",)))
    await bring(engine, one)
    by_hand(cluster, "/apis/apps/v1/namespaces/prod/deployments/web", {"spec": {"replicas": 3}}, "autoscaler")
    assert not [e for e in await effects(engine, [one]) if e.steps]
    more = manifest("web", deployment("web", "alma-test/web:1.1"), lifecycle=one.lifecycle)
    await bring(engine, more, run="run2")
    found = cluster.get("deployment", "web", "prod")
    assert found and found["spec"]["replicas"] == 3


async def test_undo_gives_back_what_somebody_else_had_set(engine: KubernetesEngine, cluster: ControlPlane) -> None:
    one = manifest("web", deployment("web"))
    await bring(engine, one)
    by_hand(cluster, "/apis/apps/v1/namespaces/prod/deployments/web", {"spec": {"replicas": 3}})
    runner = await bring(engine, one, run="run2")
    assert (cluster.get("deployment", "web", "prod") or {})["spec"]["replicas"] == 1
    await runner.undo(runner.done)
    assert (cluster.get("deployment", "web", "prod") or {})["spec"]["replicas"] == 3


async def test_what_the_server_will_not_change_is_made_again_with_its_reason(engine: KubernetesEngine) -> None:
    await bring(engine, manifest("web", deployment("web")))
    other = deployment("web")
    other["spec"]["selector"]["matchLabels"] = {"app": "other"}
    other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    (one,) = counted(await effects(engine, [manifest("web", other)]))
    assert (one.action, one.disruption.value) == (Action.RECREATE, "recreate")
    assert "immutable" in one.reason and "uid and status" in one.lost[0]


async def test_a_change_by_hand_is_a_hint_at_once(engine: KubernetesEngine, cluster: ControlPlane) -> None:
    await bring(engine, manifest("it", config_map("a", {"x": "1"})))
    await effects(engine, [manifest("it", config_map("a", {"x": "1"}))])
    hints = engine.hints()
    waiting = asyncio.ensure_future(anext(hints))
    for number in range(_CHECKS_MAX):
        by_hand(cluster, "/api/v1/namespaces/prod/configmaps/a", {"data": {"x": str(number)}})
        await soon()
        if waiting.done():
            break
    hint = await asyncio.wait_for(waiting, 30)
    assert (hint.scope, hint.key) == (SCOPE, ObjectKey("kubernetes/ConfigMap", "prod/a"))
    await hints.aclose()  # type: ignore[attr-defined] # an async generator


async def test_the_same_name_made_again_by_someone_else_is_not_ours(
    engine: KubernetesEngine, cluster: ControlPlane
) -> None:
    await bring(engine, manifest("it", config_map("a", {"x": "1"})))
    (planned,) = counted(await effects(engine, []))
    cluster.api("DELETE", "/api/v1/namespaces/prod/configmaps/a")
    cluster.apply(config_map("a", {"x": "theirs"}, "prod"))
    with pytest.raises(Conflict):
        await Runner(engine, "run2").send(planned.steps[0])
    assert cluster.get("configmap", "a", "prod")


async def test_a_scope_acts_as_its_own_account(cluster: ControlPlane) -> None:
    """Without rights of its own it is refused, though we are administrators."""
    engine = KubernetesEngine.open(binding(cluster, impersonate={"prod": "prod/nobody"}))
    with pytest.raises(Refused, match=r"system:serviceaccount:prod:nobody"):
        await effects(engine, [manifest("it", config_map("a", {"x": "1"}))])
    await engine.close()


async def test_a_health_rule_of_the_blueprint_lies_on_the_object(
    engine: KubernetesEngine, cluster: ControlPlane
) -> None:
    rule = {"path": "data.phase", "healthy": ["Ready"], "degraded": ["Broken"]}
    one = entry("it", specs={"manifest": config_map("a", {"phase": "Starting"}), "health_rule": rule})
    await bring(engine, one)
    key, states = ObjectKey("kubernetes/ConfigMap", "prod/a"), []
    for phase in ("Starting", "Broken", "Ready"):
        by_hand(cluster, "/api/v1/namespaces/prod/configmaps/a", {"data": {"phase": phase}})
        states.append((await engine.check(key, _PLATFORM)).state)
    assert states == [HealthState.PROGRESSING, HealthState.DEGRADED, HealthState.HEALTHY]


async def test_rights_that_are_missing_are_named_with_the_command_that_mends_them(cluster: ControlPlane) -> None:
    engine = KubernetesEngine.open(binding(cluster))
    told = await engine.about()
    await engine.close()
    assert told.version == "Kubernetes v1.34.2" and not told.missing
