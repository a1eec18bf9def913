"""`llm:` of the server configuration → the router that all who word things ask."""

from __future__ import annotations

from collections.abc import Mapping

from controller.model_settings import ModelProviderSettings, ModelSettings
from controller.runtime.clock import Clock
from controller.telemetry import Metrics
from llm.budget import Amount, Budget, Price
from llm.providers.provider import Endpoint
from llm.providers.registry import open_provider
from llm.router import Route, Router


def open_router(settings: ModelSettings, secrets: Mapping[str, str], clock: Clock, metrics: Metrics) -> Router:
    """Connects to nothing yet. `secrets` are the values of the configuration's own references. Raises InvalidInput
    for a kind of provider that is not installed."""
    bounds = settings.budget
    return Router(
        [_route(p, secrets) for p in settings.providers],
        {str(task): names for task, names in settings.tasks.items()},
        Budget(Amount(bounds.change_tokens, bounds.change_money), Amount(bounds.day_tokens, bounds.day_money)),
        clock,
        metrics,
        cached_max=settings.cache,
    )


def _route(settings: ModelProviderSettings, secrets: Mapping[str, str]) -> Route:
    key = secrets[settings.api_key] if settings.api_key else ""
    endpoint = Endpoint(settings.name, settings.base_url, settings.model, key)
    price = Price(settings.prompt_price, settings.completion_price)
    return Route(open_provider(settings.kind, endpoint), price, float(settings.timeout))
