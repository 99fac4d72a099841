"""Speech nodes that are told how to behave, on real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from controller.core.routing import Endpoint


class FakeNode:
    """Answers with its name; `behave` may do something else with a request and return True."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        self.requests: list[dict[str, Any]] = []
        self.status = 200
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.behave: Callable[[BaseHTTPRequestHandler], bool] = lambda request: False
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.name, f"127.0.0.1:{self.port}")

    def die(self) -> None:
        """No one listens any more, and open connections are reset."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server.drop_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with 5, a connection more waits 1 s, and nginx for 0.25 s

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that a test has cut."""

    def drop_connections(self) -> None:
        for connection in list(self._open):
            reset(connection)


def reset(connection: socket.socket) -> None:
    """What a client sees of a process that was killed."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _handler(node: FakeNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # one packet an answer: no delayed acknowledgement
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            received = 0
            while received < length:
                received += len(self.rfile.read(min(65536, length - received)))
            node.requests.append({"path": self.path, "headers": self.headers, "bytes": received})
            if not node.behave(self):
                self.answer()

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def answer(self) -> None:
            body = node.body or json.dumps({"node": node.name, "path": self.path}).encode()
            self.send_response(node.status)
            for name, value in node.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-ASR-Node", node.name)
            self.send_header("X-ASR-Version", node.name.rpartition("-")[0])
            self.send_header("X-Request-ID", self.headers["X-Request-ID"])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
