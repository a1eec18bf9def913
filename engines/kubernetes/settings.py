"""The configuration of a Kubernetes target: which cluster, as whom, and which namespaces it may touch. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.blueprint.names import did_you_mean, shown
from controller.errors import InvalidInput

SCHEMES: Mapping[str, str] = {
    "kubeconfig": "path of a kubeconfig (default: $KUBECONFIG or ~/.kube/config, in a Pod its service account)",
    "context": "context of the kubeconfig (default: its current one)",
    "in_cluster": "true: the service account of the Pod alma runs in",
    "namespace": "where alma keeps its inventories (default: the context's namespace)",
    "namespaces": "the only namespaces this target may read and change (default: what the rights allow)",
    "impersonate": "NAMESPACE/SERVICEACCOUNT for all scopes, or a map of scopes to them",
}
_COMMON = frozenset({"engine", "read_only"})
EVERY_SCOPE = "*"


@dataclass(frozen=True, slots=True)
class Settings:
    """`impersonate`: scope → user name; `*` stands for every scope that is not named."""

    kubeconfig: str | None = None
    context: str | None = None
    in_cluster: bool = False
    namespace: str | None = None
    namespaces: tuple[str, ...] = ()
    impersonate: Mapping[str, str] = field(default_factory=dict)

    def user(self, scope: str) -> str:
        """Who the requests of `scope` are made as; empty: as ourselves."""
        return self.impersonate.get(scope) or self.impersonate.get(EVERY_SCOPE, "")

    def users(self) -> tuple[str, ...]:
        """Everyone requests may be made as."""
        return tuple(dict.fromkeys(self.impersonate.values())) or ("",)

    def may_touch(self, namespace: str) -> bool:
        """True if `namespace` lies within the target's fence."""
        return not self.namespaces or namespace in self.namespaces


def read(target: str, config: Mapping[str, object]) -> Settings:
    """Raises InvalidInput naming the key that is wrong."""
    for key in config:
        if key not in SCHEMES and key not in _COMMON:
            raise InvalidInput(f"targets.{target}.{key}: unknown key{did_you_mean(key, SCHEMES)}")
    if config.get("in_cluster") and (config.get("kubeconfig") or config.get("context")):
        raise InvalidInput(f"targets.{target}: in_cluster does not go with kubeconfig or context")
    return Settings(
        kubeconfig=_text(target, config, "kubeconfig"),
        context=_text(target, config, "context"),
        in_cluster=bool(config.get("in_cluster")),
        namespace=_text(target, config, "namespace"),
        namespaces=_texts(target, config.get("namespaces")),
        impersonate=_users(target, config.get("impersonate")),
    )


def _text(target: str, config: Mapping[str, object], key: str) -> str | None:
    value = config.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise InvalidInput(f"targets.{target}.{key}: must be text")
    return value


def _texts(target: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        raise InvalidInput(f"targets.{target}.namespaces: must be a list of names")
    return tuple(value)


def _users(target: str, value: object) -> dict[str, str]:
    if value is None:
        return {}
    given = value if isinstance(value, Mapping) else {EVERY_SCOPE: value}
    return {str(scope): _user(target, str(account)) for scope, account in given.items()}


def _user(target: str, account: str) -> str:
    namespace, slash, name = account.partition("/")
    if not slash or not namespace or not name or "/" in name:
        text = f"{shown(account, 80)} is no service account; write NAMESPACE/NAME"
        raise InvalidInput(f"targets.{target}.impersonate: {text}")
    return f"system:serviceaccount:{namespace}:{name}"
