"""A server of the colleague's: it notes whatever it is sent, and asks for passwords as MLflow's and PostgreSQL's do."""

import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests import forked
from tests.security.scene import Scene
from tests.security.users import User, become

_SSL, _STARTUP = 80877103, 196608


def listen(scene: Scene) -> int:
    """Start the server as the colleague and return its port; what it hears is in `scene.heard`."""
    user = scene.team.colleague
    place, scene.heard = scene.lair / "port", scene.lair / "heard.txt"
    words = (user.name, user.uid, user.gid, user.groups, str(scene.lair))
    code = f"from tests.security.listener import serve; serve(*{words!r})"
    with (scene.base / "private/listener").open("wb") as out:
        forked.started([], cwd=scene.lair, out=out, environment=scene.environment(user), code=code)
    until = time.monotonic() + 60
    while not place.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return int(place.read_text())


def serve(name: str, uid: int, gid: int, groups: tuple[int, ...], lair: str) -> None:
    """Be the server; called in the child."""
    become(User(name=name, uid=uid, gid=gid, groups=groups))
    with socket.create_server(("127.0.0.1", 0)) as door:
        (Path(lair) / "port.new").write_text(str(door.getsockname()[1]))
        (Path(lair) / "port.new").rename(Path(lair) / "port")
        while True:
            connection, _ = door.accept()
            threading.Thread(target=_answer, args=(connection, Path(lair) / "heard.txt"), daemon=True).start()


def _answer(connection: socket.socket, heard: Path) -> None:
    try:
        with connection:
            connection.settimeout(10)
            first = connection.recv(1, socket.MSG_PEEK)
            if first == b"\0":
                _as_postgres(connection, heard)
            elif first:
                _as_mlflow(connection, heard)
    except OSError:
        sys.stderr.write("a connection broke off\n")


def _note(heard: Path, text: str) -> None:
    with heard.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def _as_mlflow(connection: socket.socket, heard: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def answered(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            _note(heard, f"{self.command} {self.path} {dict(self.headers)} {body[:2000]!r}")
            for word in self.headers.get("Authorization", "").split()[1:]:
                _note(heard, _decoded(word))
            text = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}'
            self.send_response(404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_HEAD = answered  # noqa: N815 - names of the standard library

        def log_message(self, format: str, *words: object) -> None:  # noqa: A002
            """Print nothing."""

    Handler(connection, connection.getpeername(), None)  # type: ignore[arg-type]


def _decoded(word: str) -> str:
    import base64

    return base64.b64decode(word + "===", validate=False).decode("utf-8", errors="replace")


def _as_postgres(connection: socket.socket, heard: Path) -> None:
    size, kind = (int.from_bytes(connection.recv(4), "big") for _ in range(2))
    if kind == _SSL:
        connection.sendall(b"N")
        size, kind = (int.from_bytes(connection.recv(4), "big") for _ in range(2))
    _note(heard, f"postgres {connection.recv(size - 8)!r}")
    connection.sendall(b"R" + (8).to_bytes(4, "big") + (3).to_bytes(4, "big"))  # the password as it is, please
    _note(heard, f"postgres {connection.recv(1000)!r}")
