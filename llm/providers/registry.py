"""Which kinds of provider are installed, found through entry points, each imported only when one is configured.

A plug-in registers in the group `alma.model_providers`: `openai = "llm.providers.openai:OpenAiProvider"`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from controller.errors import InvalidInput
from llm.providers.provider import Endpoint, Provider

GROUP = "alma.model_providers"


def open_provider(kind: str, endpoint: Endpoint) -> Provider:
    """Connects to nothing yet. Raises InvalidInput for a kind that is not installed or cannot be loaded."""
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in installed:
        raise InvalidInput(
            f"llm.providers {endpoint.name}: there is no kind {kind}", hint=f"installed: {', '.join(sorted(installed))}"
        )
    try:
        make = installed[kind].load()
    except ImportError as error:
        missing = error.name or kind
        raise InvalidInput(
            f"llm.providers {endpoint.name}: {missing} is missing",
            hint="install it into the environment alma runs in, or remove `llm` from alma-server.yaml",
        ) from error
    provider: Provider = make(endpoint)
    return provider
