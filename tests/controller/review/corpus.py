"""Labelled snippets: what others published with the finding they are about, and our own.

A label says that of these rules one must speak, or that none may. Labels of others come from their own tests and file
names; the tables below say which of our rules means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.blueprint.entry import Entry
from controller.errors import Place
from controller.plan.graph import DesiredGraph
from controller.review.rules.rule import ScopeView
from tests.controller.review.making import plan

OWN = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Label:
    """One of `rules` speaks about the snippet (`found`), or none does."""

    rules: frozenset[str]
    found: bool


@dataclass(frozen=True)
class Snippet:
    """What was written, and what is to be said of it. `whole`: every finding but notes is labelled."""

    origin: str
    name: str
    entries: tuple[Entry, ...]
    labels: tuple[Label, ...]
    whole: bool = False

    def view(self) -> ScopeView:
        return ScopeView(DesiredGraph("prod", self.entries, {}), plan())


def manifest_entries(text: str) -> tuple[Entry, ...]:
    """Every object of a multi-document file as an entry of type `manifest`."""
    documents = [d for d in yaml.safe_load_all(text) if isinstance(d, Mapping)]
    return tuple(
        Entry("prod", "shop", f"o{i}", "manifest", Place("manifest.yaml", 1, 1), provider="kubernetes", specs=d)
        for i, d in enumerate(documents)
    )


def _label(rules: str, found: bool) -> Label:
    return Label(frozenset(rules.split()), found)


# Kubernetes: the file of a failing pod is named after the one check it fails.
POD_SECURITY: Mapping[str, str] = {
    "allowprivilegeescalation": "pod-may-gain-privileges",
    "apparmorprofile": "pod-apparmor-off",
    "capabilities_baseline": "pod-capability-added",
    "capabilities_restricted": "pod-capabilities-kept pod-capability-needless",
    "hostnamespaces": "pod-host-namespace",
    "hostpathvolumes": "pod-host-path",
    "hostports": "pod-host-port",
    "hostprobesandhostlifecycle": "pod-probe-elsewhere",
    "privileged": "pod-privileged",
    "procmount": "pod-proc-unmasked",
    "restrictedvolumes": "pod-volume-type",
    "runasnonroot": "pod-may-be-root",
    "runasuser": "pod-runs-as-root",
    "seccompprofile_baseline": "pod-seccomp-off",
    "seccompprofile_restricted": "pod-seccomp-unset pod-seccomp-off",
    "selinuxoptions": "pod-selinux-own",
    "sysctls": "pod-sysctl-unsafe",
    "windowshostprocess": "pod-host-process",
}
_RESTRICTED_ONLY = frozenset(
    {"allowprivilegeescalation", "capabilities_restricted", "restrictedvolumes", "runasnonroot", "runasuser"}
    | {"seccompprofile_restricted"}
)
# A pod that fails one of these fails the other's broader rule too.
_SAME = (
    {"capabilities_baseline", "capabilities_restricted"},
    {"seccompprofile_baseline", "seccompprofile_restricted"},
    {"hostpathvolumes", "restrictedvolumes"},
    {"privileged", "allowprivilegeescalation"},  # the API server refuses a privileged container that may not escalate
    {"windowshostprocess", "hostnamespaces"},  # a host process pod must be on the host's network
    {"allowprivilegeescalation", "capabilities_restricted"},  # one of these files leaves the whole context out
)


def pod_security(folder: Path) -> Iterator[Snippet]:
    """Pods of the newest version that pass a level, and pods that fail it in one point."""
    for level in ("baseline", "restricted"):
        for path in sorted((folder / "test" / "testdata" / level / "v1.34").glob("*/*.yaml")):
            check = path.stem.rstrip("0123456789")
            fails = path.parent.name == "fail"
            judged = [c for c in POD_SECURITY if level == "restricted" or c not in _RESTRICTED_ONLY]
            kin = {check}.union(*(pair for pair in _SAME if check in pair))
            labels = [_label(POD_SECURITY[c], False) for c in judged if not (fails and c in kin)]
            if fails:
                rules = "pod-host-path" if _is_host_path(path) else POD_SECURITY[check]
                labels.append(_label(rules, True))
            name = f"{level}/{path.parent.name}/{path.stem}"
            yield Snippet("kubernetes", name, manifest_entries(path.read_text()), tuple(labels))


def _is_host_path(path: Path) -> bool:
    """The last of the files about volume types shows hostPath, which has a rule of its own."""
    return path.stem.startswith("restrictedvolumes") and "hostPath:" in path.read_text()


KUBE_SCORE: Mapping[str, str] = {
    "Container Ephemeral Storage Request and Limit": "pod-no-disk-limit",
    "Container Image Pull Policy": "pod-image-not-pulled",
    "Container Image Tag": "pod-image-unpinned",
    "Container Resources": "pod-no-memory-limit pod-no-memory-request pod-no-cpu-request pod-no-cpu-limit",
    "Container Security Context User Group ID": "pod-low-user-id",
    "Container Security Context ReadOnlyRootFilesystem": "pod-writable-root",
    "Container Security Context Privileged": "pod-privileged",
    "Container Seccomp Profile": "pod-seccomp-unset",
    "CronJob has deadline": "cron-without-deadline",
    "CronJob RestartPolicy": "job-restart-policy",
    "Deployment Strategy": "all-down-at-once",
    "Deployment has PodDisruptionBudget": "no-disruption-budget",
    "StatefulSet has PodDisruptionBudget": "no-disruption-budget",
    "Deployment has host PodAntiAffinity": "copies-side-by-side",
    "StatefulSet has host PodAntiAffinity": "copies-side-by-side",
    "Deployment targeted by HPA does not have replicas configured": "autoscaler-and-replicas",
    "Deployment Pod Selector labels match template metadata labels": "selector-misses-template",
    "Environment Variable Key Duplication": "variable-twice",
    "HorizontalPodAutoscaler Replicas": "autoscaler-from-one",
    "HorizontalPodAutoscaler has target": "autoscaler-without-target",
    "Ingress targets Service": "ingress-leads-nowhere",
    "NetworkPolicy targets Pod": "policy-selects-nothing",
    "Pod NetworkPolicy": "pod-without-network-policy",
    "Pod Probes": "pod-without-readiness",
    "Pod Probes Identical": "pod-probes-alike",
    "Container Ports Check": "port-name-wrong",
    "Service Targets Pod": "service-selects-nothing",
    "Service Type": "service-on-every-node",
    "Stable version": "api-gone",
    "StatefulSet Pod Selector labels match template metadata labels": "selector-misses-template",
    "StatefulSet has ServiceName": "stateful-without-service",
}
# Its tests ask these for a cluster of version 1.18, ours for one of today.
_OTHER_TIME = frozenset({"cronjob-batchv1beta1.yaml"})
_EXPECTED = re.compile(r'testExpectedScore\(t, "([^"]+)", "([^"]+)", scorecard\.Grade(\w+)\)')


def kube_score(folder: Path) -> Iterator[Snippet]:
    """One snippet per expectation of its own tests: a file, a check, a grade."""
    data = folder / "score" / "testdata"
    for test in sorted((folder / "score").glob("*_test.go")):
        for file, check, grade in _EXPECTED.findall(test.read_text()):
            rules = KUBE_SCORE.get(check)
            path = data / file
            if rules and path.is_file() and file not in _OTHER_TIME:
                labels = (_label(rules, grade != "AllOK"),)
                yield Snippet("kube-score", f"{file}: {check}", manifest_entries(path.read_text()), labels)


# compose-lint: file → the rules that mean the same, and the services of it that are its clean examples.
_SECRET_RULES = "plain-secret guessable-password"
COMPOSE: Mapping[str, tuple[str, str]] = {
    "insecure_cap_add": ("dangerous-capability", "safe_caps no_cap_add"),
    "insecure_cap_drop": ("capabilities-kept", "cap_drop_all cap_drop_all_lower"),
    "insecure_host_namespace": ("host-namespace", "no_namespace_sharing ipc_shareable"),
    "insecure_host_network": ("host-network", "bridge_network service_network no_network_mode"),
    "insecure_image_tags": (
        "image-unpinned built-on-host",
        "pinned digest_pinned registry_pinned port_registry_pinned port_registry_digest port_registry_pinned_digest",
    ),
    "insecure_logging": ("logs-dropped", "logging_json logging_syslog no_logging_config"),
    "insecure_no_new_priv": ("may-gain-privileges", "secure"),
    "insecure_ports": (
        "port-on-every-address",
        "bound_short bound_long no_ports ipv6_loopback_short long_ipv6_loopback",
    ),
    "insecure_privileged": ("privileged", "clean"),
    "insecure_read_only": ("writable-root-file-system", "read_only_true"),
    "insecure_root_user": ("runs-as-root", "non_root nonroot_uid_root_group named_user no_user"),
    "insecure_security_profile": (
        "security-profile-off",
        "custom_seccomp no_new_privs_only no_security_opt selinux_label_user",
    ),
    "insecure_sensitive_mount": ("sensitive-host-path", "safe_volume no_volumes long_syntax_named"),
    "insecure_shared_mount": ("shared-mount-propagation", "rprivate_long normal_mount rw_mount no_volumes"),
    "insecure_socket": ("runtime-socket", ""),
    "safe_cap_hardened": ("dangerous-capability", "drop_all_add_safe drop_all_lower_add_safe drop_all_no_add"),
    "safe_no_new_priv_short": ("may-gain-privileges", "short_form short_form_with_others"),
    "insecure_connection_string_creds": (_SECRET_RULES, "skip_* list_form_skipped*"),
    "insecure_credential_env": (_SECRET_RULES, "skip_* exempt_*"),
    "insecure_credential_argv": (_SECRET_RULES, ""),
}


def compose_lint(folder: Path) -> Iterator[Snippet]:
    """One snippet per service."""
    for file, (rules, clean) in COMPOSE.items():
        path = folder / "tests" / "compose_files" / f"{file}.yml"
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            good = any(re.fullmatch(c.replace("*", ".*"), name) for c in clean.split())
            entry = Entry("prod", "shop", "web", "container", Place("c.yml", 1, 1), provider="docker", specs=service)
            yield Snippet("compose-lint", f"{file}/{name}", (entry,), (_label(rules, not good),))


def own() -> Iterator[Snippet]:
    """Ours: `corpus/*.yaml`, each with a base that its snippets are laid over; all findings but notes are labelled."""
    for path in sorted(OWN.glob("*.yaml")):
        document = yaml.safe_load(path.read_text())
        for number, item in enumerate(document["snippets"]):
            entries = tuple(_entry(document["base"], e, i) for i, e in enumerate(item.get("resources") or [item]))
            labels = tuple(_label(rule, True) for rule in item.get("finds", ()))
            yield Snippet("own", f"{path.stem}/{number}: {item['is']}", entries, labels, whole=True)


def _entry(base: Mapping[str, Any], written: Mapping[str, Any], number: int) -> Entry:
    parts = {key: {**base.get(key, {}), **written.get(key, {})} for key in ("specs", "metadata", "backup")}
    if written.get("alone"):
        parts["specs"] = dict(written.get("specs", {}))
    return Entry(
        "prod",
        "shop",
        str(written.get("name", f"r{number}")),
        str(written.get("type", base["type"])),
        Place("own.yaml", 1, 1),
        provider=base.get("provider"),
        product=written.get("engine"),
        specs={k: v for k, v in parts["specs"].items() if v is not None},
        metadata=parts["metadata"],
        backup={k: v for k, v in parts["backup"].items() if v is not None},
        dependencies=tuple(f"prod/shop/{d}" for d in written.get("dependencies", ())),
    )


def published(folder: Path) -> Iterable[Snippet]:
    """Everything of others."""
    yield from pod_security(folder / "pod-security")
    yield from kube_score(folder / "kube-score")
    yield from compose_lint(folder / "compose-lint")
