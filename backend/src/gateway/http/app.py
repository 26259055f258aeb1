"""The ASGI application: one router a topic."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from src.gateway import __version__
from src.gateway.admission.cors import Cors
from src.gateway.delivery.stream_peer import STREAM_PATH
from src.gateway.descriptions.json_schema import SCHEMAS, definitions
from src.gateway.http.console_files import console_router
from src.gateway.http.health import health_router
from src.gateway.http.history import history_router
from src.gateway.http.metrics_page import MetricsPage, metrics_router
from src.gateway.http.past_answers import PastAnswers
from src.gateway.http.snapshot import snapshot_router
from src.gateway.http.stream import stream_router
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.socket_broadcaster import SocketBroadcaster

PATHS_FOR_PAGES: Final = (
    "/health",
    "/ready",
    "/snapshot",
    "/events",
    "/history",
)  # that pages of other origins may read


def make_app(
    broadcaster: SocketBroadcaster, viewer_count: ViewerCount | None = None, metrics_page: MetricsPage | None = None
) -> FastAPI:
    """The application around a broadcaster; the caller starts and closes the broadcaster.

    Args:
        broadcaster: the routes report its state and viewers.
        viewer_count: where the other workers report; by default there are no others.
        metrics_page: the page at `/metrics`; by default of this process alone. `GATEWAY_METRICS=off` removes the route.
    """
    viewer_count = viewer_count or ViewerCount()
    app = _Described(
        title="Spymaster Gateway",
        version=__version__,
        description=f"Live market state. The stream itself is a WebSocket at `{STREAM_PATH}`.",
        servers=[{"url": "."}],  # relative, as all addresses: a proxy may serve the gateway under a path
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to whatever host the request named
    )
    app.add_middleware(Cors, origins=broadcaster.admission_control.origins, paths=PATHS_FOR_PAGES)
    app.include_router(health_router(broadcaster, viewer_count))
    admission = broadcaster.admission_control
    past_answers = PastAnswers(broadcaster.history, admission.refused, admission.counted_address)
    app.include_router(snapshot_router(broadcaster, past_answers))
    if broadcaster.history is not None:
        app.include_router(history_router(broadcaster, past_answers))
    if broadcaster.settings.metrics == "on":
        app.include_router(metrics_router(metrics_page or MetricsPage(broadcaster, viewer_count)))
    app.include_router(stream_router(broadcaster))
    app.include_router(console_router())
    app.add_route("/docs", _docs, include_in_schema=False)
    app.add_exception_handler(404, _not_found)
    return app


class _Described(FastAPI):
    """Its OpenAPI document has the types that the routes' answers refer to."""

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        document = super().openapi()
        document.setdefault("components", {}).setdefault("schemas", {}).update(definitions(SCHEMAS))
        return document


async def _docs(_request: Request) -> HTMLResponse:
    """As FastAPI's own page, whose address of the description is absolute."""
    return get_swagger_ui_html(openapi_url="openapi.json", title="Spymaster Gateway")


async def _not_found(request: Request, _error: Any) -> JSONResponse:
    return JSONResponse({"detail": f"nothing at {request.url.path}; see /docs"}, 404)
