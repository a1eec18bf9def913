"""Manifests in files, charts and kustomizations: read from the blueprint's revision, rendered by the real programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from controller.blueprint.entry import Entry
from controller.blueprint.repository import ScopeConfig
from controller.errors import InvalidInput, Place
from controller.plan.resource import Allow
from controller.runtime.attaching import Attaching
from engines.kubernetes.kinds import KINDS
from tests.engines.kubernetes.driving import entry, expand
from tests.servers.go_server import HELM, KUBERNETES, built

pytestmark = pytest.mark.kubernetes

MANIFESTS = b"""\
# two documents and a List
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data: {script: "echo ${NOT_OURS}"}
---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: two}, data: {x: "1"}}
  - {apiVersion: v1, kind: Service, metadata: {name: three}, spec: {ports: [{port: 80}]}}
---
"""
CHART = {
    "charts/web/Chart.yaml": b"apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "charts/web/values.yaml": b"image: web\nreplicas: 1\n",
    "charts/web/crds/thing.yaml": b"""\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, names: {kind: Thing, plural: things}, scope: Namespaced, versions: []}
""",
    "charts/web/templates/_names.tpl": b'{{- define "name" -}}{{ .Release.Name }}-web{{- end -}}',
    "charts/web/templates/config.yaml": b"""\
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ include "name" . }}, labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}}
data:
  image: {{ .Values.image | quote }}
  found: {{ lookup "v1" "Namespace" "" "default" | toJson | quote }}
""",
    "charts/web/templates/tests/it.yaml": b"""\
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: t, image: t}]}
""",
}
KUSTOMIZATION = {
    "k8s/base/kustomization.yaml": b"resources: [config.yaml]\n",
    "k8s/base/config.yaml": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it}\ndata: {x: base}\n",
    "k8s/prod/kustomization.yaml": b"""\
resources: [../base]
namePrefix: prod-
patches:
  - patch: '[{"op": "replace", "path": "/data/x", "value": "prod"}]'
    target: {kind: ConfigMap}
""",
}
SCOPE = ScopeConfig("prod", ".")


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    helm, kubernetes = built(HELM), built(KUBERNETES)
    monkeypatch.setenv("PATH", f"{helm}:{kubernetes}:/usr/bin:/bin")
    yield


async def attached(one: Entry, files: Mapping[str, bytes]) -> Entry:
    async def read(path: str) -> Mapping[str, bytes]:
        return {n: d for n, d in files.items() if n == path or n.startswith(f"{path}/")}

    (found,) = await Attaching({"kubernetes": KINDS}).attached((replace(one, provider="kubernetes"),), SCOPE, read)
    return found


def names(one: Entry) -> list[str]:
    objects, problems = expand([one])
    assert not problems, problems
    return sorted(f"{o.key.kind.removeprefix('kubernetes/')} {o.key.name}" for o in objects)


async def test_a_file_holds_documents_and_lists_and_nothing_in_it_is_interpreted() -> None:
    found = await attached(entry("it", specs={"path": "k8s/all.yaml"}), {"k8s/all.yaml": MANIFESTS})
    assert names(found) == ["ConfigMap prod/one", "ConfigMap prod/two", "Service prod/three"]
    objects, _ = expand([found])
    assert "echo ${NOT_OURS}" in [o.fields.get("data.script") for o in objects]


async def test_a_folder_is_every_manifest_below_it() -> None:
    files = {"k8s/a.yaml": MANIFESTS, "k8s/b/c.yml": KUSTOMIZATION["k8s/base/config.yaml"], "k8s/README.md": b"#"}
    found = await attached(entry("it", specs={"path": "k8s"}), files)
    assert len(names(found)) == 4


async def test_a_mistake_in_a_manifest_is_told_at_its_line() -> None:
    broken = MANIFESTS + b"apiVersion: v1\napiVersion: v1\n"
    with pytest.raises(InvalidInput) as told:
        await attached(entry("it", specs={"path": "k8s/all.yaml"}), {"k8s/all.yaml": broken})
    (problem,) = told.value.problems
    assert problem.place is not None
    assert (problem.place.file, problem.place.line) == ("k8s/all.yaml", MANIFESTS.count(b"\n") + 2)


async def test_a_chart_is_rendered_with_its_values_its_crds_first_and_its_tests_left_out() -> None:
    specs = {"chart": "charts/web", "values": {"image": "web:2"}, "release": "shop"}
    found = await attached(entry("it", specs=specs), CHART)
    bodies = found.specs["manifests"]
    assert isinstance(bodies, tuple)
    assert [b["kind"] for b in bodies] == ["CustomResourceDefinition", "ConfigMap"]
    assert bodies[1]["metadata"]["name"] == "shop-web"
    assert bodies[1]["data"] == {"image": "web:2", "found": "{}"}, "lookup asks nobody"


HOOK = b"""\
apiVersion: batch/v1
kind: Job
metadata: {name: NAME, annotations: {helm.sh/hook: "MOMENT", helm.sh/hook-weight: "WEIGHT"}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: it, image: it}]}}}
"""


def hook(name: str, moment: str, weight: int = 0) -> bytes:
    told = (name.encode(), moment.encode(), str(weight).encode())
    return HOOK.replace(b"NAME", told[0]).replace(b"MOMENT", told[1]).replace(b"WEIGHT", told[2])


async def test_hooks_of_what_never_happens_here_are_left_out() -> None:
    chart = {
        **CHART,
        "charts/web/templates/a.yaml": hook("migrate", "pre-install,pre-upgrade"),
        "charts/web/templates/b.yaml": hook("clean", "post-delete"),
        "charts/web/templates/c.yaml": hook("back", "pre-rollback"),
    }
    found = await attached(entry("it", specs={"chart": "charts/web"}), chart)
    allow = Allow(options={"kubernetes.kinds": ("CustomResourceDefinition.*",)})
    objects, problems = expand([found], allow)
    assert not problems
    assert {o.key.name for o in objects if o.key.kind == "kubernetes/Job.batch"} == {"prod/migrate"}


async def test_hooks_that_ask_for_an_order_are_refused() -> None:
    chart = {
        **CHART,
        "charts/web/templates/a.yaml": hook("one", "pre-install", 1),
        "charts/web/templates/b.yaml": hook("two", "pre-install", 2),
    }
    found = await attached(entry("it", specs={"chart": "charts/web"}), chart)
    _, problems = expand([found])
    assert any("weights" in str(p) for p in problems)


async def test_what_helm_says_is_told_at_the_chart() -> None:
    broken = {**CHART, "charts/web/templates/config.yaml": b'{{ fail "no" }}'}
    with pytest.raises(InvalidInput, match="helm refuses it"):
        await attached(entry("it", specs={"chart": "charts/web"}), broken)


async def test_a_chart_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", "c4nary")
    nosy = {**CHART, "charts/web/templates/config.yaml": b'x: {{ env "APP_PASSWORD" | quote }}'}
    with pytest.raises(InvalidInput) as told:
        found = await attached(entry("it", specs={"chart": "charts/web"}), nosy)
        raise InvalidInput(str(found.specs))
    assert "c4nary" not in str(told.value)


async def test_a_kustomization_is_built_with_its_bases() -> None:
    found = await attached(entry("it", specs={"kustomize": "k8s/prod", "root": "k8s"}), KUSTOMIZATION)
    assert names(found) == ["ConfigMap prod/prod-it"]
    (one,) = expand([found])[0]
    assert one.fields["data.x"] == "prod"


@pytest.mark.parametrize(
    "base",
    [
        b"https://github.com/org/repo",
        b"github.com/org/repo//base?ref=main",
        b"git@github.com:org/repo",
        b"ssh://git@example.org/x",
        b"../x?ref=1",
    ],
)
async def test_a_remote_base_is_refused(base: bytes) -> None:
    files = {**KUSTOMIZATION, "k8s/prod/kustomization.yaml": b"resources:\n  - " + base + b"\n"}
    with pytest.raises(InvalidInput, match="remote base"):
        await attached(entry("it", specs={"kustomize": "k8s/prod", "root": "k8s"}), files)


@pytest.mark.parametrize("path", ["../outside", "/../outside", "a/../../outside"])
async def test_a_path_never_leads_out_of_the_repository(path: str) -> None:
    with pytest.raises(InvalidInput, match="not below"):
        await attached(entry("it", specs={"path": path}), {"outside": MANIFESTS})


async def test_a_path_outside_the_scope_is_refused() -> None:
    one = replace(entry("it", specs={"path": "/other/all.yaml"}), place=Place("prod/shop.yaml"), provider="kubernetes")

    async def read(path: str) -> Mapping[str, bytes]:
        return {path: MANIFESTS}

    with pytest.raises(InvalidInput, match="not below"):
        await Attaching({"kubernetes": KINDS}).attached((one,), ScopeConfig("prod", "prod"), read)
