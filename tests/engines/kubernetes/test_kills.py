"""A1 on a real API server: `alma deploy` killed at its k-th boundary, then started again, neither loses nor doubles
anything. The journal is on disk, the cluster is real, the kill is SIGKILL."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.crash.commands import Zygote
from tests.servers.kubernetes import ControlPlane

pytestmark = [pytest.mark.kubernetes, pytest.mark.crash, pytest.mark.timeout(900)]

Report = Callable[..., None]
SHARES = 2
# A run is killed at each of its boundaries; the second share of one that is undone, which takes ten seconds a point,
# at every fifth.
_STRIDE = {("undo", 1): 5}
_SHOWN = (
    "apis/apps/v1/namespaces/prod/deployments",
    "api/v1/namespaces/prod/configmaps",
    "api/v1/namespaces/prod/services",
)
SHOP = """\
name: shop
provider: kubernetes
resources:
  - {name: web, type: compute, specs: {image: "IMAGE", ports: ["80:8080"], replicas: 1}}
  - name: conf
    type: manifest
    dependencies: [web]
    specs: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {x: "DATA"}}}
"""
EXTRA = """\
  - name: old
    type: manifest
    specs: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: old}, data: {x: "1"}}}
"""
BEFORE = SHOP.replace("IMAGE", "alma-test/web:1.0").replace("DATA", "1") + EXTRA
AFTER = SHOP.replace("IMAGE", "alma-test/web:1.1").replace("DATA", "2")
_RULE = 'health_rule: {path: data.x, healthy: ["1"], degraded: ["2"]}'
BROKEN = AFTER.replace("specs: {manifest:", f"specs: {{{_RULE}, manifest:")


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    running = Zygote("kubernetes")
    yield running
    running.close()


class Place:
    """A folder with a configuration, one blueprint and a state that is thrown away."""

    def __init__(self, folder: Path, plane: ControlPlane) -> None:
        self._folder, self._plane = folder, plane
        self._shop = folder / "prod" / "shop.yaml"
        self._shop.parent.mkdir()
        (folder / "prod" / "alma.yaml").write_text("version: 1\nscopes: [{name: prod, path: .}]\n")
        target = {"engine": "kubernetes", "kubeconfig": str(plane.kubeconfig), "namespace": "default"}
        (folder / "server.yaml").write_text(
            json.dumps({"id": "home", "targets": {"main": target}, "reconcile": {"health_timeout": "60s"}})
        )

    def args(self, content: str) -> list[str]:
        """`alma deploy` of this content, agreed to."""
        self._shop.write_text(content)
        state = str(self._folder / "state")
        return [
            "--config",
            str(self._folder / "server.yaml"),
            "--state",
            state,
            "deploy",
            str(self._shop.parent),
            "--yes",
        ]

    def world(self) -> Mapping[str, object]:
        """What is there, as a person would call it the same."""
        found: dict[str, object] = {}
        for path in _SHOWN:
            for one in self._plane.api("GET", f"/{path}")["items"]:
                if one["metadata"]["name"] == "kube-root-ca.crt":
                    continue
                spec = one.get("spec", {})
                image = [c["image"] for c in spec.get("template", {}).get("spec", {}).get("containers", ())]
                mark = one["metadata"]["annotations"]["gitops.alma/resource"]
                found[f"{path} {one['metadata']['name']}"] = (mark, one.get("data"), image, spec.get("ports", ()) and 1)
        record = self._plane.api("GET", "/api/v1/namespaces/default/configmaps/alma.home.prod")
        found["record"] = record and record["data"]
        return found


@pytest.fixture
def place(tmp_path: Path, cluster: ControlPlane) -> Place:
    return Place(tmp_path, cluster)


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize(("name", "content", "code"), [("update", AFTER, 0), ("undo", BROKEN, 1)])
def test_a_kill_at_any_boundary_leaves_no_trace(
    name: str, content: str, code: int, share: int, place: Place, zygote: Zygote, report_n: Report
) -> None:
    assert zygote.ask(place.args(BEFORE))["code"] == 0
    start = place.world()
    assert zygote.ask(place.args(content))["code"] == code
    target = place.world()
    assert code or target != start
    points, wrong, stride = 0, [], _STRIDE.get((name, share), 1)
    for k in itertools.count(1 + share, SHARES * stride):
        assert zygote.ask(place.args(BEFORE))["code"] == 0
        assert place.world() == start
        died = zygote.ask(place.args(content), kill=k)
        if not died["killed"]:
            break
        points += 1
        again = zygote.ask(place.args(content))
        if place.world() != target:
            wrong.append(f"k={k}: code {again['code']}: {place.world()}")
    report_n("A1 kubernetes kills", points, len(wrong))
    assert not wrong, "\n".join(wrong)
    assert points * stride > 10
