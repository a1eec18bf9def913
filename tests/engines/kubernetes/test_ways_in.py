"""The ways into a cluster, tried on a real API server: contexts of one kubeconfig, and the service account of a Pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config

from engines.engine import Ask, Refused, Transient
from engines.kubernetes import client
from engines.kubernetes.engine import KubernetesEngine
from tests.engines.kubernetes.driving import INSTALL, SCOPE, binding, config_map, entry, expand
from tests.engines.running import Runner
from tests.servers.kubernetes import ControlPlane

pytestmark = pytest.mark.kubernetes

_RIGHTS = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}
]


def account(cluster: ControlPlane, namespace: str, name: str) -> None:
    """A service account that may keep ConfigMaps in its own namespace, and nothing else."""
    where = {"namespace": namespace, "name": name}
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", **where}
    cluster.namespace(namespace)
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": where, "rules": _RIGHTS},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": where,
            "subjects": [subject],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
        },
    )


def token(cluster: ControlPlane, namespace: str, name: str) -> str:
    """A bound token, as the kubelet would put it into a Pod."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    made = cluster.api("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    return str(made["status"]["token"])


async def deploy(engine: KubernetesEngine, scope: str, value: str) -> None:
    wanted, problems = expand([entry("it", scope=scope, specs={"manifests": [config_map("conf", {"x": value})]})])
    assert not problems, problems
    ask = Ask(INSTALL, frozenset({scope}), frozenset(d.key for d in wanted))
    await Runner(engine, value).apply(await engine.preview(wanted, await engine.observe(ask), scope))


async def test_each_target_is_its_own_context_and_none_stands_in_for_another(
    cluster: ControlPlane, tmp_path: Path
) -> None:
    """Two accounts on one cluster, and a cluster that is not there."""
    config: dict[str, Any] = cluster.config(cluster.token)
    for name in ("left", "right"):
        account(cluster, name, "alma")
        config["users"].append({"name": name, "user": {"token": token(cluster, name, "alma")}})
        config["contexts"].append({"name": name, "context": {"cluster": "test", "user": name, "namespace": name}})
    config["clusters"].append({"name": "away", "cluster": {"server": "https://127.0.0.1:1"}})
    config["contexts"].append({"name": "away", "context": {"cluster": "away", "user": "left"}})
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    engines = {
        c: KubernetesEngine.open(binding(cluster, kubeconfig=str(file), context=c, namespace=None))
        for c in ("left", "right", "away", "nowhere")
    }
    for name in ("left", "right"):
        await deploy(engines[name], name, name)
        assert (cluster.get("configmap", "conf", name) or {})["data"] == {"x": name}
        assert cluster.get("configmap", f"alma.home.{name}", name), "its record lies in the namespace of the context"
    with pytest.raises(Refused, match="right"):
        await deploy(engines["left"], "right", "wrong")
    with pytest.raises(Transient, match=r"cannot be reached.*127\.0\.0\.1"):
        await engines["away"].observe(Ask(INSTALL, frozenset({SCOPE})))
    with pytest.raises(Refused, match="nowhere"):
        await engines["nowhere"].observe(Ask(INSTALL, frozenset({SCOPE})))
    for engine in engines.values():
        await engine.close()


async def test_in_a_pod_its_service_account_is_used_and_its_token_read_again_when_it_is_renewed(
    cluster: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account(cluster, "pod", "alma")
    old = f"{token(cluster, 'pod', 'alma')}-ran-out"
    files = {"token": old, "ca.crt": cluster.certificate.read_text(), "namespace": "pod\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(client, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(cluster.port))
    engine = KubernetesEngine.open(binding(cluster, kubeconfig=None, namespace=None, in_cluster=True))
    with pytest.raises(Refused, match="does not accept our credentials") as told:
        await deploy(engine, "pod", "1")
    assert old not in str(told.value)
    (tmp_path / "token").write_text(token(cluster, "pod", "alma"))
    await deploy(engine, "pod", "2")
    assert cluster.get("configmap", "alma.home.pod", "pod"), "its record lies in the namespace of the Pod"
    with pytest.raises(Refused, match="prod"):
        await deploy(engine, "prod", "wrong")
    assert (cluster.get("configmap", "conf", "pod") or {})["data"] == {"x": "2"}
    await engine.close()
