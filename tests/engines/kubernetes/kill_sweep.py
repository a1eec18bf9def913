"""A sweep of kills on a real API server: a place for `alma deploy`, what it deploys, and the k-th death of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

from tests.crash.commands import Zygote
from tests.servers.kubernetes import ControlPlane

ROW = "A1 kubernetes kills"
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


def swept(place: Place, zygote: Zygote, content: str, code: int, first: int, stride: int) -> tuple[int, list[str]]:
    """Killed at its boundaries `first`, `first + stride`, … until it comes through; how many there were, and where what
    the next process left is not what an undisturbed one leaves. `code` is that of the undisturbed one: 0, or 1 where it
    fails and is undone."""
    assert zygote.ask(place.args(BEFORE))["code"] == 0
    start = place.world()
    assert zygote.ask(place.args(content))["code"] == code
    target = place.world()
    assert code or target != start
    points, wrong = 0, []
    for k in itertools.count(first, stride):
        assert zygote.ask(place.args(BEFORE))["code"] == 0
        assert place.world() == start
        if not zygote.ask(place.args(content), kill=k)["killed"]:
            break
        points += 1
        # Of what failed there must be nothing left to take back: only the run that was cut off is brought to its end.
        again = zygote.ask(place.args(BEFORE if code else content))
        if place.world() != target or (code and "Nothing to do." not in again["out"]):
            wrong.append(f"k={k}: code {again['code']}: {place.world()}")
    return points, wrong
