"""E33: the chart is rendered by the real helm and taken by a real API server where `restricted` is enforced."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.settings import load_settings
from engines.kubernetes.settings import read
from tests.servers.kubernetes import ControlPlane

pytestmark = pytest.mark.kubernetes

Report = Callable[..., None]
CHART = Path(__file__).resolve().parents[2] / "charts" / "controller"
VALUES: dict[str, Any] = {
    "config": {"id": "home"},
    "scopes": [{"name": "prod", "namespaces": ["prod"]}, {"name": "shop", "namespaces": ["prod", "default"]}],
    "keySecretName": "alma-key",
    "secretName": "alma-secrets",
    "networkPolicy": {
        "egress": [{"cidr": "192.0.2.10/32", "port": 443}],
        "webhookFrom": [{"namespaceSelector": {}}],
    },
}
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}


def rendered(plane: ControlPlane, values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """What `helm template` makes of the chart. Raises AssertionError with helm's words."""
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    command = [str(plane.helm), "template", "alma", str(CHART), "--namespace=alma", f"--values={file}"]
    command.append("--api-versions=monitoring.coreos.com/v1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [_placed(d) for d in yaml.safe_load_all(done.stdout) if d]


def _placed(body: dict[str, Any]) -> dict[str, Any]:
    """What helm leaves to `--namespace` when it installs."""
    return {**body, "metadata": {"namespace": "alma", **body["metadata"]}}


def test_it_installs_where_restricted_is_enforced_and_its_pod_comes_up(
    cluster: ControlPlane, tmp_path: Path, report_n: Report
) -> None:
    cluster.namespace("alma", RESTRICTED)
    objects = rendered(cluster, VALUES, tmp_path)
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    said = cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))
    assert said.count("serverside-applied") == len(objects)
    pod = next(o for o in objects if o["kind"] == "StatefulSet")["spec"]["template"]
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it", **pod["metadata"]}, "spec": pod["spec"]}
    alone["spec"]["volumes"].append({"name": "state", "emptyDir": {}})
    tried = cluster.kubectl("apply", "--dry-run=server", "-n", "alma", "-f", "-", stdin=json.dumps(alone))
    assert "created" in tried, "Pod Security admits it"
    report_n("E33 chart", len(objects) + 1)


def test_nobody_gets_rights_on_the_whole_cluster(cluster: ControlPlane, tmp_path: Path, report_n: Report) -> None:
    objects = rendered(cluster, VALUES, tmp_path)
    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]
    rules = [rule for o in objects if o["kind"] == "Role" for rule in o["rules"]]
    assert rules and not [r for r in rules if "*" in (*r["apiGroups"], *r["resources"], *r["verbs"])]
    (impersonation,) = [r for r in rules if "impersonate" in r["verbs"]]
    assert impersonation["resourceNames"] == ["alma-prod", "alma-shop"]
    report_n("E33 chart", len(rules))


def test_the_account_of_a_scope_reaches_its_namespaces_only(
    cluster: ControlPlane, tmp_path: Path, report_n: Report
) -> None:
    cluster.namespace("alma", RESTRICTED)
    listed = {"apiVersion": "v1", "kind": "List", "items": rendered(cluster, VALUES, tmp_path)}
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))
    user = "--as=system:serviceaccount:alma:alma-prod"
    for verb, what, place, expected in (
        ("patch", "deployments.apps", "prod", "yes"),
        ("delete", "configmaps", "prod", "yes"),
        ("patch", "configmaps", "default", "no"),
        ("list", "secrets", "alma", "no"),
        ("create", "namespaces", "prod", "no"),
        ("create", "rolebindings.rbac.authorization.k8s.io", "prod", "no"),
    ):
        said = cluster.kubectl("auth", "can-i", verb, what, "-n", place, user, check=False)
        assert said.strip() == expected, (verb, what, place)
        report_n("E33 chart", 1)


def test_egress_is_what_is_listed(cluster: ControlPlane, tmp_path: Path) -> None:
    objects = rendered(cluster, VALUES, tmp_path)
    (policy,) = [o for o in objects if o["kind"] == "NetworkPolicy"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    blocks = [t["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for t in rule["to"] if "ipBlock" in t]
    assert blocks == ["0.0.0.0/0", "192.0.2.10/32"]


def test_the_configuration_it_writes_is_one_that_alma_reads(cluster: ControlPlane, tmp_path: Path) -> None:
    objects = rendered(cluster, VALUES, tmp_path)
    (config,) = [o for o in objects if o["kind"] == "ConfigMap"]
    file = tmp_path / "alma-server.yaml"
    file.write_text(config["data"]["alma-server.yaml"])
    target = load_settings(file, {}).settings.targets["main"]
    said = read("main", target.model_dump(exclude_defaults=True))
    assert said.in_cluster and said.user("prod") == "system:serviceaccount:alma:alma-prod"


def test_a_service_monitor_is_made_where_it_is_wanted(cluster: ControlPlane, tmp_path: Path) -> None:
    objects = rendered(cluster, {**VALUES, "metrics": {"serviceMonitor": True}}, tmp_path)
    assert [o["spec"]["endpoints"][0]["port"] for o in objects if o["kind"] == "ServiceMonitor"] == ["metrics"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"config": {}},
        {"config": {"id": "Not A Name"}},
        {**VALUES, "scopse": []},
        {**VALUES, "scopes": [{"name": "prod"}]},
        {**VALUES, "rights": [{"apiGroups": ["*"], "resources": ["*"]}]},
    ],
)
def test_values_that_are_wrong_are_refused(wrong: dict[str, Any], cluster: ControlPlane, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"values don't meet|schema"):
        rendered(cluster, wrong, tmp_path)
