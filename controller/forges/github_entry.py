"""The `forge:` entry of a GitHub repository: where its API is, and with which credential it is asked."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2

from controller.errors import InvalidInput
from controller.forges.address import RepositoryPath, base_url, config_text
from controller.forges.credential import Credential, FixedToken
from controller.forges.forge import ForgeBinding
from controller.forges.github_app import AppIdentity, InstallationToken, app_key
from controller.forges.github_identity import TokenIdentity
from controller.forges.github_repository import GitHubRepository, Identity
from controller.forges.http import ForgeHttp
from controller.forges.paging import Paging

API_URL = "https://api.github.com"
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
# GitHub's guide for integrators: one write at a time, at least one second apart.
_WRITE_GAP_S = 1.0


def api_of(binding: ForgeBinding) -> tuple[str, tuple[str, ...]]:
    """The base URL and what stands before every path of the REST API below it. An Enterprise Server keeps REST at
    `/api/v3` and GraphQL at `/api/graphql`."""
    url = base_url(binding) if config_text(binding, "url") else API_URL
    host = urlsplit(url).hostname or ""
    if host in {"github.com", "www.github.com"}:
        return API_URL, ()
    if host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com")):
        return url, ()
    if host.endswith(".ghe.com"):
        return url.replace(f"//{host}", f"//api.{host}", 1), ()
    return f"{url.removesuffix('/v3').removesuffix('/api')}/api", ("v3",)


def opened(
    binding: ForgeBinding, path: RepositoryPath, transport: httpx2.AsyncBaseTransport | None
) -> tuple[GitHubRepository, str]:
    """The repository with its credential, and the webhook secret. Raises InvalidInput."""
    url, root = api_of(binding)
    secret = config_text(binding, "webhook_secret")

    def http(credential: Credential, gap_s: float) -> ForgeHttp:
        return ForgeHttp(
            url,
            _HEADERS,
            (secret,),
            binding,
            write_gap_s=gap_s,
            credential=credential,
            paging=Paging("per_page", by_links=True),
            ca_file=config_text(binding, "ca"),
            transport=transport,
        )

    token, app_id = config_text(binding, "token"), config_text(binding, "app_id")
    identity: Identity
    if token and app_id:
        raise InvalidInput(f"repository {binding.repository}: forge has both token and app_id; one of them acts")
    if app_id:
        key = app_key(binding.repository, app_id, config_text(binding, "private_key"), binding.wall)
        asker = http(key, 0.0)
        installation = InstallationToken(asker, root, path, binding.wall)
        identity = AppIdentity(asker, root)
        return GitHubRepository(http(installation, _WRITE_GAP_S), path, identity, root, installation), secret
    if not token:
        raise InvalidInput(
            f"repository {binding.repository}: forge.token is missing",
            hint="set forge.token, or forge.app_id and forge.private_key",
        )
    credential = FixedToken("Authorization", f"Bearer {token}", token)
    return GitHubRepository(http(credential, _WRITE_GAP_S), path, TokenIdentity(), root), secret
