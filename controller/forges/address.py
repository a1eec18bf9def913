"""Where a forge and its repository are: checked once, when it is opened (I43)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from controller.errors import InvalidInput
from controller.forges.forge import ForgeBinding

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_SCP = re.compile(r"(?:[^/@\s]+@)?[^/:\s]+:(?!//)(?P<path>.+)")


@dataclass(frozen=True, slots=True)
class RepositoryPath:
    """`owner/name` at a forge."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


def config_text(binding: ForgeBinding, key: str) -> str:
    """A text of the `forge:` entry, empty if absent. Raises InvalidInput for anything else."""
    value = binding.config.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"repository {binding.repository}: forge.{key} must be a text")
    return value or ""


def base_url(binding: ForgeBinding) -> str:
    """`forge.url` without a trailing slash: https, or http to this machine only; no login, query or fragment."""
    url = config_text(binding, "url").rstrip("/")
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise InvalidInput(f"repository {binding.repository}: forge.url is not an address") from None
    where = f"repository {binding.repository}: forge.url"
    if parts.scheme not in {"https", "http"} or not parts.hostname or not port_is_valid:
        raise InvalidInput(f"{where} must be https://HOST", hint="write the address that your browser shows")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise InvalidInput(f"{where} must be https: the token would cross the network in the clear")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(f"{where} must hold no login, query or fragment", hint="the token goes into forge.token")
    return url


def repository_path(binding: ForgeBinding) -> RepositoryPath:
    """`forge.repo` (`owner/name`), else the last two parts of the repository's URL."""
    stated = config_text(binding, "repo") or _path_of(binding.git_url)
    parts = [part for part in stated.strip("/").removesuffix(".git").split("/") if part]
    if len(parts) < 2 or any(part in {".", ".."} or not _NAME.fullmatch(part) for part in parts[-2:]):
        raise InvalidInput(
            f"repository {binding.repository}: its URL does not end in OWNER/NAME", hint="set forge.repo: OWNER/NAME"
        )
    return RepositoryPath(parts[-2], parts[-1])


def whole_path(binding: ForgeBinding, url: str) -> RepositoryPath:
    """`forge.repo`, else all of the repository's URL below the forge's own: `group/subgroup/name` at GitLab."""
    stated = config_text(binding, "repo")
    if not stated:
        stated = _path_of(binding.git_url).strip("/")
        below = urlsplit(url).path.strip("/")
        stated = stated.removeprefix(f"{below}/") if below else stated
    parts = [part for part in stated.strip("/").removesuffix(".git").split("/") if part]
    if len(parts) < 2 or any(part in {".", ".."} or not _NAME.fullmatch(part) for part in parts):
        raise InvalidInput(
            f"repository {binding.repository}: its URL does not end in GROUP/NAME", hint="set forge.repo: GROUP/NAME"
        )
    return RepositoryPath("/".join(parts[:-1]), parts[-1])


def _path_of(git_url: str) -> str:
    scp = _SCP.fullmatch(git_url)
    return scp["path"] if scp else urlsplit(git_url).path


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
