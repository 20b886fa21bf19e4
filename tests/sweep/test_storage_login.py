"""Optuna's password goes to a server that proves itself, and to no other that listens where one is expected."""

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from difair_hpc.errors import StorageUnreachable
from difair_hpc.sweep.storage import connects, open_storage

psycopg = pytest.importorskip("psycopg")

PASSWORD = "the-teams-password"
OK, CLEARTEXT, MD5 = struct.pack("!i", 0), struct.pack("!i", 3), struct.pack("!i4s", 5, b"salt")
"""What a server of PostgreSQL asks for before it lets a client in."""


@contextmanager
def impostor(demand: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Listen as PostgreSQL does and ask for a password; give the port, and what clients said after that."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as ears:

        def serve() -> None:
            while True:
                try:
                    client, _ = ears.accept()
                except OSError:
                    return
                with client:
                    while struct.unpack("!ii", first := client.recv(8))[1] != 196608:  # a wish for TLS or GSS
                        client.sendall(b"N")
                    client.recv(struct.unpack("!ii", first)[0] - 8)
                    client.sendall(b"R" + struct.pack("!i", 4 + len(demand)) + demand)
                    client.settimeout(5)  # a client that is content waits for what a server says next
                    with suppress(TimeoutError):
                        heard.append(client.recv(1000))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ears.getsockname()[1], heard
        finally:
            ears.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(autouse=True)
def rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the password where libpq finds it, for every host."""
    (tmp_path / "pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


@pytest.mark.parametrize("demand", [CLEARTEXT, MD5, OK], ids=["cleartext", "md5", "nothing"])
@pytest.mark.parametrize("more", ["", "?require_auth=password,md5,none", "?host=127.0.0.1"])
def test_a_server_that_does_not_prove_itself_learns_nothing(demand: bytes, more: str) -> None:
    with impostor(demand) as (port, heard):
        url = f"postgresql://optuna@127.0.0.1:{port}/optuna{more}"
        for act in (connects, open_storage):
            with pytest.raises((StorageUnreachable, OperationalError), match="scram-sha-256"):
                act(url)
    inner = hashlib.md5(f"{PASSWORD}optuna".encode(), usedforsecurity=False).hexdigest().encode()
    hashed = hashlib.md5(inner + b"salt", usedforsecurity=False).hexdigest().encode()
    said = b"".join(heard)
    assert len(heard) >= 2
    assert PASSWORD.encode() not in said
    assert hashed not in said


def test_the_impostor_would_learn_it_from_a_client_that_demands_nothing() -> None:
    with impostor(CLEARTEXT) as (port, heard), pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://optuna@127.0.0.1:{port}/optuna")
    assert PASSWORD.encode() in b"".join(heard)
