"""A real proxy on 127.0.0.1 in front of a server, which answers by itself where a rule of the test says so."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HANG_SECONDS = 240


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    method: str
    path: str
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection before the request was read, without any answer."""


Rule = Callable[[Request], Reply | None]
PASS: Rule = lambda _: None  # noqa: E731 - the rule of a proxy that only passes on


@dataclass(slots=True)
class Proxy:
    uri: str
    rule: Rule = PASS
    """May be changed while it runs."""
    seen: list[Request] = field(default_factory=list)

    def count(self, method: str, part: str) -> int:
        """Return how many requests came by that method with that part in their path."""
        return sum(one.method == method and part in one.path for one in self.seen)


@contextmanager
def running_proxy(target: str = "", rule: Rule = PASS) -> Iterator[Proxy]:
    """Answer by the rule, else pass on to the target."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked = Request(method=self.command, path=self.path, length=length)
            proxy.seen.append(asked)
            reply = proxy.rule(asked)
            if reply is not None and reply.cut:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = self.rfile.read(length)
            if reply is not None:
                self.answer(reply.status, reply.headers, reply.body.encode())
                return
            upstream = http.client.HTTPConnection(urlsplit(target).netloc, timeout=HANG_SECONDS)
            upstream.request(self.command, self.path, body, dict(self.headers))
            came = upstream.getresponse()
            content = came.read()
            dropped = ("transfer-encoding", "content-length", "connection")
            self.answer(came.status, {k: v for k, v in came.getheaders() if k.lower() not in dropped}, content)
            upstream.close()

        def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that has gone."""

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}", rule)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
