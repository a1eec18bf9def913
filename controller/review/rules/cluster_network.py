"""Rules about ways into a cluster and between its pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.blueprint.entry import Entry
from controller.blueprint.value import Value
from controller.errors import Place
from controller.review.finding import Severity
from controller.review.manifest import Manifest, listed, mapping, maps_at
from controller.review.rules.controls import CHANGE, NETWORK, SEGMENTS, TRANSPORT
from controller.review.rules.coverage import MANIFEST
from controller.review.rules.manifest_samples import deployment, made
from controller.review.rules.rule import Hit, Reason, Rule, Sample, ScopeView, manifest_rule, scope_rule, told
from controller.review.rules.selecting import selects

_NSA = "NSA/CISA Kubernetes Hardening Guide 1.2"
_POLICY = "networking.k8s.io/v1"
_SNIPPETS = ("configuration-snippet", "server-snippet", "auth-snippet", "stream-snippet")


def _beside(name: str, body: Mapping[str, Value]) -> Entry:
    return Entry("prod", "shop", name, "manifest", Place("shop.yaml", 9, 5), specs=body)


_ALL = made(_POLICY, "NetworkPolicy", "all", spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})


@scope_rule(
    "pod-without-network-policy",
    Severity.LOW,
    Reason.EXPOSURE,
    "Pod that no network policy selects",
    why="Every pod of the cluster reaches it, and it reaches every pod.",
    source=f"{_NSA}, Network policies; CIS Kubernetes 1.9, 5.3.2",
    kinds=MANIFEST,
    controls=SEGMENTS,
    bad=Sample(deployment(), type="manifest"),
    good=Sample(deployment(), type="manifest", others=(_beside("all", _ALL),)),
)
def pod_without_network_policy(view: ScopeView) -> Iterator[Hit]:
    policies = [m for m in view.manifests if m.kind == "NetworkPolicy"]
    for m in view.manifests:
        if m.pod and m.pod.get("hostNetwork") is not True:
            mine = [
                p for p in policies if p.namespace == m.namespace and selects(p.get("spec.podSelector"), m.pod_labels)
            ]
            closed = {str(t) for p in mine for t in _directions(p)}
            missing = [d for d in ("Ingress", "Egress") if d not in closed]
            if missing:
                text = f"no network policy limits {' and '.join(d.lower() for d in missing)} of {m.name}"
                yield told(m, m.pod_path, text, "a NetworkPolicy whose podSelector matches, with both policyTypes")


def _directions(policy: Manifest) -> tuple[Value, ...]:
    written = listed(policy.get("spec.policyTypes"))
    return written or (("Ingress", "Egress") if policy.get("spec.egress") is not None else ("Ingress",))


@manifest_rule(
    "policy-lets-all-in",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Network policy that lets all in",
    why="It looks like a wall and is none.",
    source=f"{_NSA}, Network policies",
    controls=SEGMENTS,
    bad=made(_POLICY, "NetworkPolicy", spec={"podSelector": {}, "ingress": [{}]}),
    good=made(_POLICY, "NetworkPolicy", spec={"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}),
)
def policy_lets_all_in(m: Manifest) -> Iterator[Hit]:
    for path, rule in maps_at(m.body, "spec.ingress") if m.kind == "NetworkPolicy" else ():
        sources = [s for s in listed(rule.get("from")) if isinstance(s, Mapping)]
        world = any(mapping(s.get("ipBlock")).get("cidr") in ("0.0.0.0/0", "::/0") for s in sources)
        every = any(s.get("namespaceSelector") == {} and "podSelector" not in s for s in sources)
        if (not sources and not rule.get("ports")) or world or every:
            yield told(m, path, f"{m.name} lets everyone in", "name the pods under from")


@manifest_rule(
    "service-on-every-node",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Service on every node",
    why="A NodePort listens on each address of each node, past load balancer and ingress.",
    source="kube-score, service-type; CIS Kubernetes 1.9, 5.2.13",
    controls=NETWORK,
    bad=made("v1", "Service", spec={"type": "NodePort", "ports": [{"port": 80}]}),
    good=made("v1", "Service", spec={"type": "ClusterIP", "ports": [{"port": 80}]}),
)
def service_on_every_node(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Service" and m.get("spec.type") == "NodePort":
        yield told(m, "spec.type", f"{m.name} listens on every node", "ClusterIP behind an ingress")


@manifest_rule(
    "service-for-the-world",
    Severity.MEDIUM,
    Reason.EXPOSURE,
    "Load balancer for everyone",
    why="Without source ranges the whole internet reaches it.",
    source="PCI DSS 4.0, 1.3.1; Kubernetes documentation, loadBalancerSourceRanges",
    controls=NETWORK,
    bad=made("v1", "Service", spec={"type": "LoadBalancer", "ports": [{"port": 80}]}),
    good=made("v1", "Service", spec={"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}),
)
def service_for_the_world(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Service" and m.get("spec.type") == "LoadBalancer":
        ranges = listed(m.get("spec.loadBalancerSourceRanges"))
        if not ranges or "0.0.0.0/0" in ranges:
            yield told(m, "spec.type", f"{m.name} is open to every address", "loadBalancerSourceRanges")


@manifest_rule(
    "service-external-address",
    Severity.HIGH,
    Reason.HOST,
    "Service that takes an address",
    why="Traffic of the cluster to that address goes to this service: a way to listen in (CVE-2020-8554).",
    source="Kubernetes CVE-2020-8554",
    controls=NETWORK,
    bad=made("v1", "Service", spec={"externalIPs": ["192.0.2.1"], "ports": [{"port": 443}]}),
    good=made("v1", "Service", spec={"ports": [{"port": 443}]}),
)
def service_external_address(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Service" and listed(m.get("spec.externalIPs")):
        yield told(m, "spec.externalIPs", f"{m.name} takes addresses", "a load balancer or an ingress")


@manifest_rule(
    "service-points-out",
    Severity.LOW,
    Reason.CHANGE,
    "Service that points out of the cluster",
    why="Whoever owns that name decides what answers, and no network policy sees it.",
    source="Kubernetes documentation, ExternalName; kube-score, service-type",
    controls=CHANGE,
    bad=made("v1", "Service", spec={"type": "ExternalName", "externalName": "db.example.org"}),
    good=made("v1", "Service", spec={"type": "ClusterIP"}),
)
def service_points_out(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Service" and m.get("spec.type") == "ExternalName":
        yield told(
            m, "spec.externalName", f"{m.name} is {m.get('spec.externalName')}", "write that name where it is used"
        )


@manifest_rule(
    "ingress-without-tls",
    Severity.MEDIUM,
    Reason.TRANSPORT,
    "Ingress without TLS",
    why="Passwords and sessions cross the network readable.",
    source=f"{_NSA}, Encryption; PCI DSS 4.0, 4.2.1",
    controls=TRANSPORT,
    bad=made(_POLICY, "Ingress", spec={"rules": [{"host": "shop.example.org"}]}),
    good=made(
        _POLICY, "Ingress", spec={"rules": [{"host": "shop.example.org"}], "tls": [{"hosts": ["shop.example.org"]}]}
    ),
)
def ingress_without_tls(m: Manifest) -> Iterator[Hit]:
    if m.kind == "Ingress" and not listed(m.get("spec.tls")):
        yield told(m, "spec.tls", f"{m.name} serves plain HTTP", "tls: [{hosts: […], secretName: …}]")


@manifest_rule(
    "ingress-for-any-host",
    Severity.LOW,
    Reason.EXPOSURE,
    "Ingress for any host",
    why="It answers for names that nobody thought of, and takes over those of others.",
    source="Kubernetes documentation, Ingress, hostname wildcards",
    controls=NETWORK,
    bad=made(_POLICY, "Ingress", spec={"tls": [{}], "rules": [{"http": {"paths": []}}]}),
    good=made(_POLICY, "Ingress", spec={"tls": [{}], "rules": [{"host": "shop.example.org"}]}),
)
def ingress_for_any_host(m: Manifest) -> Iterator[Hit]:
    for path, rule in maps_at(m.body, "spec.rules") if m.kind == "Ingress" else ():
        if not rule.get("host") or str(rule["host"]).startswith("*"):
            yield told(m, path, f"{m.name} answers for {rule.get('host') or 'every name'}", "name the host")


@manifest_rule(
    "ingress-with-snippet",
    Severity.HIGH,
    Reason.PRIVILEGE,
    "Ingress with lines for the proxy",
    why="A snippet runs in the controller, which may read the secrets of every namespace (CVE-2021-25742).",
    source="Kubernetes CVE-2021-25742",
    controls=NETWORK,
    bad={
        **made(_POLICY, "Ingress", spec={"tls": [{}]}),
        "metadata": {"name": "web", "annotations": {"nginx.ingress.kubernetes.io/server-snippet": "return 200;"}},
    },
    good=made(_POLICY, "Ingress", spec={"tls": [{}]}),
)
def ingress_with_snippet(m: Manifest) -> Iterator[Hit]:
    for key in mapping(m.get("metadata.annotations")) if m.kind == "Ingress" else ():
        if str(key).endswith(_SNIPPETS):
            yield told(
                m, "metadata.annotations", f"{m.name} brings a {key.rpartition('/')[2]}", "use the options made for it"
            )


RULES: tuple[Rule, ...] = (
    pod_without_network_policy,
    policy_lets_all_in,
    service_on_every_node,
    service_for_the_world,
    service_external_address,
    service_points_out,
    ingress_without_tls,
    ingress_for_any_host,
    ingress_with_snippet,
)
