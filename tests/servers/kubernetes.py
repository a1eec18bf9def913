"""A real Kubernetes control plane on loopback: etcd, API server, controllers, scheduler, and KWOK as its nodes.

A Pod becomes Ready at once, but for one with the image `BROKEN_IMAGE`, whose pull fails for ever.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any
from urllib.error import HTTPError, URLError

from tests.servers.go_server import HELM, KUBERNETES, KWOK, built
from tests.servers.process import NotStarted, ServerProcess, free_port, wait_until

BROKEN_IMAGE = "alma-test/web:broken"
_JSON = "application/json"
_START_TIMEOUT_S = 90.0
_COMMAND_TIMEOUT_S = 120.0
_CLEAN_TIMEOUT_S = 60.0
_OF_THE_CLUSTER = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_OF_TESTS = "prod"  # kept between tests, emptied: the end of a namespace takes seconds
_ROOT = "kube-root-ca.crt"  # the cluster puts it into every namespace
# What tests make in a namespace, owners before what they own.
_COLLECTIONS = (
    "apis/apps/v1/{}/deployments",
    "apis/apps/v1/{}/statefulsets",
    "apis/apps/v1/{}/daemonsets",
    "apis/batch/v1/{}/cronjobs",
    "apis/batch/v1/{}/jobs",
    "apis/autoscaling/v2/{}/horizontalpodautoscalers",
    "apis/policy/v1/{}/poddisruptionbudgets",
    "apis/networking.k8s.io/v1/{}/ingresses",
    "apis/networking.k8s.io/v1/{}/networkpolicies",
    "apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
    "apis/rbac.authorization.k8s.io/v1/{}/roles",
    "apis/apps/v1/{}/replicasets",
    "api/v1/{}/services",
    "api/v1/{}/pods",
    "api/v1/{}/persistentvolumeclaims",
    "api/v1/{}/resourcequotas",
    "api/v1/{}/serviceaccounts",
    "api/v1/{}/secrets",
    "api/v1/{}/configmaps",
)
_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node-1", "labels": {"kubernetes.io/hostname": "node-1"}},
    "status": {
        "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "5000"},
        "capacity": {"cpu": "64", "memory": "256Gi", "pods": "5000"},
    },
}
_NOT_BROKEN = f"""\
    - key: '.spec.containers.[].image'
      operator: 'NotIn'
      values:
      - '{BROKEN_IMAGE}'
"""
_BROKEN_STAGE = f"""\
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: pod-broken
spec:
  resourceRef:
    apiGroup: v1
    kind: Pod
  selector:
    matchExpressions:
    - key: '.metadata.deletionTimestamp'
      operator: 'DoesNotExist'
    - key: '.status.containerStatuses'
      operator: 'DoesNotExist'
    - key: '.spec.containers.[].image'
      operator: 'In'
      values:
      - '{BROKEN_IMAGE}'
  next:
    statusTemplate: |
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - image: {{{{ .image | Quote }}}}
        name: {{{{ .name | Quote }}}}
        ready: false
        restartCount: 0
        state:
          waiting:
            reason: ImagePullBackOff
            message: Back-off pulling image
      {{{{ end }}}}
      phase: Pending
"""


def missing() -> str | None:
    """Why no control plane can be started here, or None."""
    absent = [tool for tool in ("etcd", "openssl") if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (python -m tests.servers.system)"
    unbuilt = [server.name for server in (KUBERNETES, KWOK, HELM) if built(server) is None]
    return f"not built: {', '.join(unbuilt)} (python -m tests.servers.build; needs Go)" if unbuilt else None


class ControlPlane:
    """One cluster. `kubeconfig` opens it as an administrator; `stop_api` and `start_api` are an outage."""

    def __init__(self) -> None:
        programs, kwok, helm = built(KUBERNETES), built(KWOK), built(HELM)
        if programs is None or kwok is None or helm is None:
            raise NotStarted(str(missing()))
        self._programs, self._kwok = programs, kwok
        self.helm = helm / HELM.name
        self.kubectl_program = programs / "kubectl"
        self.folder = Path(tempfile.mkdtemp(prefix="alma-kubernetes-"))
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.token = secrets.token_hex(16)
        self.certificate = self.folder / "certificates" / "apiserver.crt"
        self.kubeconfig = self.folder / "kubeconfig"
        self._etcd_port, self._peer_port = free_port(), free_port()
        self._processes: dict[str, ServerProcess] = {}

    def start(self) -> None:
        """Returns when a node is ready. Raises NotStarted."""
        self._write_files()
        self._start("etcd", self._etcd())
        self.start_api()
        self.kubeconfig.write_text(json.dumps(self.config(self.token)))
        self.kubeconfig.chmod(0o600)
        self._start("kube-controller-manager", self._controllers())
        self._start("kube-scheduler", [str(self._programs / "kube-scheduler"), *self._client(), "--leader-elect=false"])
        stages = f"--config={self.folder / 'stages.yaml'}"
        arguments = [f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true", stages, "--server-address="]
        self._start("kwok", [str(self._kwok / KWOK.name), *arguments])
        wait_until(lambda: "default" in self.names("namespaces"), timeout_s=_START_TIMEOUT_S, what="first namespace")
        self.apply(_NODE)
        wait_until(self._node_ready, timeout_s=_START_TIMEOUT_S, what="a node that is ready")

    def start_api(self) -> None:
        """The API server again, on the same port. Raises NotStarted."""
        self._start("kube-apiserver", self._api_server())
        self._processes["kube-apiserver"].wait_ready(self.answers, timeout_s=_START_TIMEOUT_S)

    def stop_api(self) -> None:
        """Nobody answers any more; what runs goes on."""
        self._processes.pop("kube-apiserver").stop(signal.SIGKILL)

    def answers(self) -> bool:
        """True if the API server is ready for requests."""
        if not self.certificate.exists():
            return False
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=self.trust()) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def config(self, token: str, namespace: str = "default") -> dict[str, Any]:
        """A kubeconfig, as data, for the bearer of `token`."""
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """What kubectl prints. Raises AssertionError with its error text when it fails."""
        done = subprocess.run(
            [str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def get(self, resource: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object, or None."""
        where = ["--namespace", namespace] if namespace else []
        text = self.kubectl("get", resource, name, *where, "--ignore-not-found", "--show-managed-fields", "-o", "json")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def names(self, resource: str) -> set[str]:
        """Names of the cluster-scoped objects of a resource."""
        return set(self.kubectl("get", resource, "-o", "name").replace(f"{resource[:-1]}/", "").split())

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Makes or changes objects as somebody else would, under kubectl's own field manager."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(listed))

    def namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Makes a namespace."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})

    def api(self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = _JSON) -> Any:
        """The JSON of an answer to an administrator's request; None for a 404. Raises HTTPError for other failures."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.trust()) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise

    def clean(self) -> None:
        """Removes what a test has made in `default` and `prod`, and every other namespace; returns when it is gone."""
        extra = {n["metadata"]["name"] for n in self.api("GET", "/api/v1/namespaces")["items"]} - _OF_THE_CLUSTER
        for name in extra - {_OF_TESTS}:
            self.api("DELETE", f"/api/v1/namespaces/{name}")
        wait_until(self._empty, timeout_s=_CLEAN_TIMEOUT_S, what="end of what a test has made")
        for name in extra - {_OF_TESTS}:
            gone = partial(self._gone, f"/api/v1/namespaces/{name}")
            wait_until(gone, timeout_s=_CLEAN_TIMEOUT_S, what=f"end of {name}")

    def _gone(self, path: str) -> bool:
        return self.api("GET", path) is None

    def _empty(self) -> bool:
        """Asks for the end of everything that is there, and tells whether nothing was."""
        found = False
        for place in ("default", _OF_TESTS):
            for collection in _COLLECTIONS:
                path = f"/{collection.format(f'namespaces/{place}')}"
                for one in (self.api("GET", path) or {"items": ()})["items"]:
                    name = one["metadata"]["name"]
                    if name not in (_ROOT, "default", "kubernetes"):
                        found = True
                        self._remove(f"{path}/{name}", one)
        return not found

    def _remove(self, path: str, found: dict[str, Any]) -> None:
        if found["metadata"].get("finalizers"):
            self.api("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
        self.api("DELETE", f"{path}?propagationPolicy=Background&gracePeriodSeconds=0")

    def close(self) -> None:
        """Stops everything and removes what it wrote."""
        for name in reversed(list(self._processes)):
            self._processes.pop(name).stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        self._processes[name] = ServerProcess(arguments, self.folder / f"{name}.log")

    def _write_files(self) -> None:
        key = self.folder / "service-accounts.key"
        command = ["openssl", "genrsa", "-out", str(key), "2048"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        (self.folder / "tokens.csv").write_text(f"{self.token},admin,admin,system:masters\n")
        stages = self._kwok / "kustomize" / "stage"
        ready = (stages / "pod/fast/pod-ready.yaml").read_text()
        texts = [
            (stages / "node/fast/node-initialize.yaml").read_text(),
            ready.replace("    matchExpressions:\n", f"    matchExpressions:\n{_NOT_BROKEN}", 1),
            (stages / "pod/fast/pod-complete.yaml").read_text(),
            (stages / "pod/fast/pod-delete.yaml").read_text(),
            _BROKEN_STAGE,
        ]
        (self.folder / "stages.yaml").write_text("\n---\n".join(texts))

    def trust(self) -> SSLContext:
        """What its certificate is checked by."""
        return create_default_context(cafile=str(self.certificate))

    def _node_ready(self) -> bool:
        conditions = (self.get("node", "node-1") or {}).get("status", {}).get("conditions", ())
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _client(self) -> list[str]:
        return [f"--kubeconfig={self.kubeconfig}", "--secure-port=0"]

    def _etcd(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _api_server(self) -> list[str]:
        key = self.folder / "service-accounts.key"
        return [
            str(self._programs / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.certificate.parent}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            # Debian's etcd 3.4 cannot stream a list as a watch: told so, clients list at once instead of trying again.
            "--feature-gates=WatchList=false",
        ]

    def _controllers(self) -> list[str]:
        return [
            str(self._programs / "kube-controller-manager"),
            *self._client(),
            f"--service-account-private-key-file={self.folder / 'service-accounts.key'}",
            "--leader-elect=false",
            # KWOK's node sends no heartbeat, and nothing here is ever lost.
            "--controllers=*,-node-lifecycle-controller",
        ]
