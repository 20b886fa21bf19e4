"""The door before MLflow's server: who may ask, from which page, and for what; everything else never reaches MLflow.

Loopback is not private on a machine that others use, and a browser sends a password along with whatever a page of
another address asks for. So each request needs a secret, the right name of this server, and no foreign page behind it.
MLflow can do more than show studies (an assistant that starts programs, a gateway and webhooks that contact others):
only what studies need is passed on.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""A web application as ASGI describes it."""

FAMILIES = frozenset({
    *("experiments", "runs", "metrics", "artifacts", "get-artifact", "upload-artifact", "datasets"),
    *("logged-models", "registered-models", "model-versions", "traces", "unified-traces", "get-trace-artifact"),
    *("users", "roles", "server-info"),
})  # fmt: skip
"""Parts of MLflow's interface that are passed on: what reads and writes the store of studies, and accounts."""
_CLOSED = frozenset({"runs/create-promptlab-run"})
_PAGES = frozenset({"/", "/graphql", "/get-artifact", "/model-versions/get-artifact", "/health", "/version"})
_API = re.compile(r"/(?:ajax-)?api/\d+\.\d+/mlflow/(?P<path>(?P<family>[a-z-]+)(?:/.*)?)", re.DOTALL)
_ARTIFACTS = re.compile(r"/(?:ajax-)?api/\d+\.\d+/mlflow-artifacts/artifacts(?:/.*)?", re.DOTALL)
_TELEMETRY = re.compile(r"/ajax-api/\d+\.\d+/mlflow/ui-telemetry")


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An answer without MLflow."""

    status: HTTPStatus
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


def digest(password: str) -> bytes:
    """Return what a password is checked with; it is random and long, so that this needs no salt and no slowness."""
    return hashlib.sha256(password.encode()).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """What is asked of each request."""

    names: Collection[str]
    """Values of the Host header that are answered: this server's own names, each with its port."""
    secret: bytes | None
    """Digest of the password that opens, whatever the user's name; None: MLflow checks accounts, and here it counts
    only that there is one."""
    anybody: Collection[str] = ()
    """Paths that need no account."""

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return the answer to a request that is not passed on; None: it is.

        Args:
            method: GET, POST and so on.
            path: Without the part after ?.
            headers: Their names in lower case.
        """
        if headers.get("host", "") not in self.names:
            return Refusal(status=HTTPStatus.FORBIDDEN, text="This server has another name.")
        if _foreign(method, headers, {f"http://{name}" for name in self.names}):
            return Refusal(status=HTTPStatus.FORBIDDEN, text="A page of another address may not ask here.")
        if path not in self.anybody and not self._opens(headers.get("authorization", "")):
            challenge = {"www-authenticate": 'Basic realm="mlflow", charset="UTF-8"'}
            return Refusal(status=HTTPStatus.UNAUTHORIZED, text="A user and a password are needed.", headers=challenge)
        if not _is_passed_on(method, path):
            return Refusal(status=HTTPStatus.NOT_FOUND, text="This part of MLflow is closed here.")
        return None

    def _opens(self, given: str) -> bool:
        scheme, _, rest = given.partition(" ")
        if self.secret is None or scheme.lower() != "basic":
            return self.secret is None and bool(given)
        try:
            password = base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(hashlib.sha256(password).digest(), self.secret)


def guarded(app: App, door: Door) -> App:
    """Return the application behind the door."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a web socket, of which MLflow has none
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        refusal = door.refusal(scope["method"], scope["path"], _headers(scope["headers"]))
        if refusal is None:
            await app(scope, receive, send)
            return
        words = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store", **refusal.headers}
        lines = [(name.encode(), value.encode()) for name, value in words.items()]
        await send({"type": "http.response.start", "status": refusal.status.value, "headers": lines})
        await send({"type": "http.response.body", "body": f"{refusal.text}\n".encode()})

    return answer


def _headers(lines: Collection[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name; of one that is sent twice, both, which is no value that is looked for."""
    found: dict[str, str] = {}
    for name, value in lines:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _foreign(method: str, headers: Mapping[str, str], own: Collection[str]) -> bool:
    """Whether a page of another address is behind the request; following a link from there is none of its doing."""
    if headers.get("origin", "") not in {"", *own}:
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    in_window = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (method == "GET" and in_window)


def _is_passed_on(method: str, path: str) -> bool:
    if path in _PAGES or path.startswith("/static-files/") or _ARTIFACTS.fullmatch(path):
        return True
    if _TELEMETRY.fullmatch(path):  # the page asks whether it may report to MLflow's makers; here it may not
        return method == "GET"
    found = _API.fullmatch(path)
    return found is not None and found["family"] in FAMILIES and found["path"] not in _CLOSED
