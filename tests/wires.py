"""TCP servers for what a healthy PostgreSQL cannot be made to do: say nothing, refuse in a foreign language,
appear late, fall silent in the middle."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An ErrorResponse (manual, "Error and Notice Message Fields")."""

    severity: str
    sqlstate: str
    message: str

    def encode(self) -> bytes:
        fields = {"S": self.severity, "V": "FATAL", "C": self.sqlstate, "M": self.message}
        body = b"".join(key.encode() + text.encode() + b"\0" for key, text in fields.items()) + b"\0"
        return b"E" + struct.pack("!i", len(body) + 4) + body


@contextmanager
def listen(handle: object, port: int = 0) -> Iterator[int]:
    """Accept connections on a port and give each to `handle(socket)` in a thread of its own."""
    assert callable(handle)
    listener = socket.create_server(("127.0.0.1", port))
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            accepted.append(connection)
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in accepted:
            connection.close()


@contextmanager
def run_silent_server() -> Iterator[int]:
    """Accept connections and never answer."""
    with listen(lambda _connection: None) as port:
        yield port


@contextmanager
def run_refusing_server(refusals: Sequence[Refusal]) -> Iterator[int]:
    """Refuse each log-in in turn; the last refusal is repeated."""
    remaining = list(refusals)

    def refuse(connection: socket.socket) -> None:
        while True:
            (length,) = struct.unpack("!i", connection.recv(4, socket.MSG_WAITALL))
            body = connection.recv(length - 4, socket.MSG_WAITALL)
            if struct.unpack("!i", body[:4])[0] not in (_SSL_REQUEST, _GSS_REQUEST):
                break
            connection.sendall(b"N")
        connection.sendall((remaining.pop(0) if len(remaining) > 1 else remaining[0]).encode())
        connection.shutdown(socket.SHUT_WR)

    with listen(refuse) as port:
        yield port


@dataclass
class Relay:
    """Passes bytes on to a server until it is told to swallow them."""

    target: tuple[str, int]
    is_cut: threading.Event = field(default_factory=threading.Event)

    def __call__(self, client: socket.socket) -> None:
        with socket.create_connection(self.target) as server:
            back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.is_cut.is_set():
                    continue
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@dataclass
class TlsRelay:
    """Speaks TLS with the client and plain text with a server that was built without it."""

    target: tuple[str, int]
    context: ssl.SSLContext

    def __call__(self, client: socket.socket) -> None:
        client.recv(8, socket.MSG_WAITALL)  # SSLRequest
        client.sendall(b"S")
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(client, server_side=True) as wrapped,
            socket.create_connection(self.target) as server,
        ):
            _shuttle(wrapped, server)


def _shuttle(wrapped: ssl.SSLSocket, server: socket.socket) -> None:
    """Pass bytes both ways in one thread: a TLS socket is not to be read and written by two."""
    wrapped.setblocking(False)
    while True:
        readable, _, _ = select.select([wrapped, server], [], [])
        if server in readable:
            if not (data := server.recv(65536)):
                return
            wrapped.setblocking(True)
            wrapped.sendall(data)
            wrapped.setblocking(False)
        if wrapped in readable:
            with contextlib.suppress(ssl.SSLWantReadError):
                while data := wrapped.recv(65536):
                    server.sendall(data)
                return
