"""The one port strangers may reach: health and webhooks, nothing else. Everything denies by default (I41)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.telemetry import Metrics
from controller.web.webhooks import WebhookIntake

_log = structlog.get_logger("web")

Ready = Callable[[], Awaitable[Mapping[str, str]]]  # what is not ready yet: part → reason; empty when all is


@dataclass(frozen=True, slots=True)
class _Measured:
    """Counts requests by route, never by path: labels stay bounded."""

    app: ASGIApp
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s, code = perf_counter(), 500

        async def noting(message: Mapping[str, object]) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = int(str(message["status"]))
            await send(dict(message))

        try:
            await self.app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
            self.metrics.count("http_requests", route, method, str(code))
            self.metrics.observe("http_request_duration_seconds", perf_counter() - began_s, route, method)


def web_app(ready: Ready, webhooks: WebhookIntake, metrics: Metrics) -> Starlette:
    """`/healthz`, `/readyz`, `POST /webhooks/{repository}`."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        missing = await ready()
        # Names of parts only: a stranger learns no address and no version.
        return JSONResponse({"ready": not missing, "waiting": sorted(missing)}, 503 if missing else 200)

    return Starlette(
        routes=[
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/webhooks/{repository}", webhooks.receive, methods=["POST"]),
        ],
        middleware=[Middleware(_Measured, metrics=metrics)],
    )


def metrics_app(metrics: Metrics) -> Starlette:
    """`/metrics` on a listener of its own (I41's one exception)."""

    async def show(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/metrics", show, methods=["GET"])])
