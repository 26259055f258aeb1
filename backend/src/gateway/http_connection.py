"""uvicorn's side of a connection that is not a WebSocket yet, strict about how it becomes one.

A socket goes over to the stream only by a request that is alone on it and complete in its head (RFC 6455 §4.1: GET,
HTTP/1.1, no body). What arrives behind that request belongs to the WebSocket, also when it comes in the same piece.
A request that is none is answered and not logged: whoever can connect could fill the disk with such lines.
"""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.gateway.delivery.stream_peer import refused
from src.gateway.goodbyes import BAD_REQUEST, BAD_UPGRADE, Refusal

WEBSOCKET: Final = b"websocket"
BODY_HEADERS: Final = (b"content-length", b"transfer-encoding")


class HttpConnection(HttpToolsProtocol):
    """What uvicorn makes of each accepted socket."""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(BAD_REQUEST)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])

    def _upgrade(self, following: bytes) -> None:
        if self._may_become_a_stream():
            self.handle_websocket_upgrade()
            if following and not self.transport.is_closing():
                self.transport.get_protocol().data_received(following)  # type: ignore[attr-defined]
        elif self._get_upgrade() == WEBSOCKET or self.cycle is None:
            self._refuse(BAD_UPGRADE)
        else:
            self.cycle.keep_alive = False  # answered as if no upgrade had been asked for, RFC 9110 §7.8; then it ends

    def _may_become_a_stream(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete  # else an HTTP answer would follow the 101
        bodiless = not any(name in BODY_HEADERS and value != b"0" for name, value in self.headers)
        return answered and bodiless and self._get_upgrade() == WEBSOCKET and self.scope["http_version"] == "1.1"

    def _refuse(self, refusal: Refusal) -> None:
        self.transport.write(refused(refusal).serialize())
        self.transport.close()
