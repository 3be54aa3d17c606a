"""What surrounds every request, as plain ASGI: security headers, bounded bodies, counts and durations.

Plain ASGI and not Starlette's BaseHTTPMiddleware: a ranged recording must stream through untouched.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import TooLarge, problem_response
from config.settings import WebSettings

UPLOADS = "/api/v1/placements"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class BoundedBodies:
    """Answers 413 as soon as a body is known to be too large, by its announced length or by what came."""

    def __init__(self, app: ASGIApp, web: WebSettings) -> None:
        self._app = app
        self._web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._web.upload_limit_bytes if scope["path"] == UPLOADS else self._web.body_limit_bytes
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            await problem_response(_too_large(limit))(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > limit:
                # FastAPI turns any other error of a body into a 400; the handler makes this one a problem+json.
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("the request's body is too large", shape=f"more than {limit} bytes", remedy="send less at a time")


class DoorMetrics:
    """Prometheus series of the doors themselves; the dialer's own stand in the same registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "onrecord_http_requests_total",
            "Requests by operation and status",
            ["operation", "method", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "onrecord_http_seconds", "Time until the answer's first byte", ["operation"], registry=registry
        )
        self.listeners = Gauge("onrecord_live_listeners", "Open live WebSockets", registry=registry)
        self.log_ins = Counter("onrecord_log_ins_total", "Log-ins by result", ["result"], registry=registry)
        self.listened = Counter("onrecord_recording_bytes_total", "Bytes of recordings sent", registry=registry)


class Measured:
    def __init__(self, app: ASGIApp, metrics: DoorMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The route's own name, never the path: ids would make a series each.
                operation = getattr(scope.get("route"), "name", None) or "none"
                self._metrics.requests.labels(operation, _known_method(scope["method"]), message["status"]).inc()
                self._metrics.seconds.labels(operation).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, noted)


def _known_method(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "OTHER"
