"""What our token may do at GitLab, what it lacks, and what it could do without."""

from __future__ import annotations

from collections.abc import Collection

from controller.forges.forge import ForgeRefused
from controller.forges.gitlab_payload import DEVELOPER, GUEST, MAINTAINER
from controller.forges.gitlab_project import GitLabProject

SCOPE = "api"  # statuses, notes and merges have no narrower one
_INSIDE = frozenset({"read_api", "read_repository", "write_repository", "read_user"})  # what `api` includes anyway
_ROLES = {"pull": GUEST + 10, "push": DEVELOPER, "admin": MAINTAINER}


async def rights_of(project: GitLabProject) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Rights, what is missing, what is too much. Changes nothing."""
    level = await _level(project)
    rights = tuple(name for name, least in _ROLES.items() if level >= least)
    scopes = await _scopes(project)
    return rights, _missing(rights, scopes, str(project.path)), _excess(scopes)


def _missing(rights: Collection[str], scopes: Collection[str] | None, path: str) -> tuple[str, ...]:
    lacking = {
        "pull": f"read: make the token's account a member of {path} with the role Developer",
        "push": f"write statuses and merge: give the token's account the role Developer in {path}",
    }
    scope = () if scopes is None or SCOPE in scopes else (f"write: make the token with the scope {SCOPE}",)
    return (*(text for name, text in lacking.items() if name not in rights), *scope)


def _excess(scopes: Collection[str] | None) -> tuple[str, ...]:
    beyond = set(scopes or ()) - {SCOPE} - _INSIDE
    return tuple(f"the token has the scope {scope}, which nothing uses" for scope in sorted(beyond))


async def _scopes(project: GitLabProject) -> tuple[str, ...] | None:
    """None where the token cannot tell (OAuth)."""
    try:
        answer = await project.http.get("personal_access_tokens", "self")
    except ForgeRefused as refused:
        if refused.code in (400, 403, 404):
            return None
        raise
    return tuple(scope.text() for scope in project.read(answer)["scopes"])


async def _level(project: GitLabProject) -> int:
    """Our access level, as a member of the project or of a group above it."""
    given = project.read(await project.get())["permissions"].object()
    ways = [given[way] for way in ("project_access", "group_access") if given[way].present]
    return max((way.object()["access_level"].integer() for way in ways), default=0)
