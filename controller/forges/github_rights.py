"""What our credential may do at GitHub, what it lacks, and what it could do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.forges.github_repository import GitHubRepository

# The minimum, and why. Metadata: read comes with every one of them.
WANTED: Mapping[str, tuple[str, str]] = {
    "metadata": ("read", "see the repository"),
    "contents": ("write", "fetch, push a revert branch and merge"),
    "pull_requests": ("write", "comment, react, open, close and approve"),
    "statuses": ("write", "write commit statuses"),
}
# Useful, and not missed where it is not given.
_WELCOME: Mapping[str, str] = {"members": "read", "checks": "write"}
_RANK = {"read": 1, "write": 2, "admin": 3}
_CLASSIC_WANTED = frozenset({"repo", "public_repo", "read:org"})
_SETUP = frozenset({"administration", "repository_hooks"})


@dataclass(frozen=True, slots=True)
class Rights:
    """As `ForgeInfo` tells them."""

    rights: tuple[str, ...]
    missing: tuple[str, ...]
    excess: tuple[str, ...] = ()


async def rights_of(repository: GitHubRepository) -> Rights:
    """Changes nothing."""
    if repository.installation is not None:
        return app_rights(await repository.installation.permissions())
    answer = await repository.get()
    permissions = repository.read(answer)["permissions"].object()
    has = {name: permissions[name].flag() for name in ("pull", "push", "admin")}
    return token_rights(has, answer.headers.get("x-oauth-scopes"), str(repository.path))


def app_rights(given: Mapping[str, str]) -> Rights:
    """Of an installation, whose permissions GitHub names one by one."""
    missing = [
        f"{why}: give the App the permission {_shown(name)}: {level}"
        for name, (level, why) in WANTED.items()
        if _rank(given.get(name)) < _rank(level)
    ]
    most = {**{name: level for name, (level, _) in WANTED.items()}, **_WELCOME}
    excess = [
        f"the App has {_shown(name)}: {level}, {_instead(name, most.get(name))}"
        for name, level in sorted(given.items())
        if _rank(level) > _rank(most.get(name))
    ]
    contents = _rank(given.get("contents"))
    rights = [name for name, least in (("pull", 1), ("push", 2)) if contents >= least]
    return Rights(tuple(rights), tuple(missing), tuple(excess))


def token_rights(has: Mapping[str, bool], scopes: str | None, path: str) -> Rights:
    """Of a token: the rights of its owner here, and of a classic one its scopes. A fine-grained one does not tell its
    permissions; what it lacks shows in the first refusal."""
    lacking = {
        "pull": f"read: give the token's account access to {path}",
        "push": f"write statuses and merge: give the token's account the role Write on {path}",
    }
    missing = [text for name, text in lacking.items() if not has[name]]
    granted = frozenset(scope.strip() for scope in (scopes or "").split(",") if scope.strip())
    excess = [f"the classic token has the scope {scope}, which nothing uses" for scope in granted - _CLASSIC_WANTED]
    if granted:
        excess.append("a classic token reaches every repository of its account: make a fine-grained one for this one")
    if scopes is not None and not granted & {"repo", "public_repo"}:
        missing.append("write: the classic token lacks the scope repo")
    return Rights(tuple(name for name in has if has[name]), tuple(missing), tuple(sorted(excess)))


def _instead(name: str, enough: str | None) -> str:
    if name in _SETUP:
        return "which only the set-up needs: take it away after it"
    return f"and {enough} is enough" if enough else "which nothing uses"


def _rank(level: str | None) -> int:
    """An unknown word counts as the most."""
    return 0 if level is None else _RANK.get(level, 3)


def _shown(name: str) -> str:
    return name.replace("_", " ").capitalize()
