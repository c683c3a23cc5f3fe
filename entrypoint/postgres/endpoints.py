"""Where a conninfo points: its servers, their addresses, looked up in time.

Owns host lists and name resolution. Knows nothing of what a server says.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from psycopg import pq


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server of a conninfo.

    Args:
        host: a name, an address, a socket directory, or empty for libpq's default.
        hostaddr: the address, where the conninfo states it, else empty.
        port: as written, or empty for libpq's default.
    """

    host: str
    hostaddr: str
    port: str

    @property
    def is_local(self) -> bool:
        """Tell whether it is a Unix-domain socket (`@` begins an abstract one)."""
        return not self.hostaddr and (not self.host or self.host[0] in "/@")

    def display(self, address: str = "") -> str:
        """Return `host:port`, the address added where it says more, or the socket's path."""
        port = self.port or "5432"
        if self.is_local:
            return f"{self.host}/.s.PGSQL.{port}" if self.host else f"local socket of port {port}"
        host = self.host or self.hostaddr
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return shown if address in ("", host) else f"{shown} ({address})"


def complete_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return `parameters` with host, hostaddr and port where libpq would take them from its environment.

    libpq reads the other defaults by itself; these three are needed to try every server.
    """
    missing = {"host", "hostaddr", "port"} - parameters.keys()
    if "host" in parameters:
        missing.discard("hostaddr")  # a host and the address that goes with it come from one place
    return {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.keyword.decode() in missing and option.val not in (None, option.compiled)
    } | dict(parameters)


def list_endpoints(parameters: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Return the servers of a conninfo in its order.

    Raises:
        ValueError: the lists of hosts, addresses and ports differ in length (manual, "Specifying Multiple
            Hosts").
    """
    hosts = parameters.get("host", "").split(",")
    addresses = parameters.get("hostaddr", "").split(",")
    ports = parameters.get("port", "").split(",")
    count = max(len(hosts), len(addresses))
    if parameters.get("host") and parameters.get("hostaddr") and len(hosts) != len(addresses):
        raise ValueError(f"{len(hosts)} host names do not match {len(addresses)} addresses")
    if len(ports) not in (1, count):
        raise ValueError(f"{len(ports)} ports do not match {count} hosts")
    hosts, addresses, ports = (
        values * count if len(values) == 1 else values for values in (hosts, addresses, ports)
    )
    return tuple(
        Endpoint(host=host, hostaddr=address, port=port)
        for host, address, port in zip(hosts, addresses, ports, strict=True)
    )


class Resolver:
    """Looks names up in daemon threads, because getaddrinfo cannot be interrupted.

    A lookup that hangs is asked again for its result by the next attempt rather than started twice.
    """

    def __init__(self) -> None:
        self._pending: dict[str, queue.SimpleQueue[list[str] | OSError]] = {}

    def resolve(self, endpoint: Endpoint, *, deadline: float) -> list[str]:
        """Return every address of an endpoint; one empty string for a socket.

        Args:
            endpoint: the server.
            deadline: on `time.monotonic`'s clock.

        Raises:
            OSError: the name has no address.
            TimeoutError: no resolver answered in time.
        """
        if endpoint.is_local or endpoint.hostaddr:
            return [endpoint.hostaddr]
        try:
            return [str(ip_address(endpoint.host))]
        except ValueError:
            pass
        answer = self._pending.pop(endpoint.host, None) or self._start(endpoint.host)
        try:
            found = answer.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self._pending[endpoint.host] = answer
            raise TimeoutError("no answer from the name server") from None
        if isinstance(found, OSError):
            raise found
        return found

    @staticmethod
    def _start(host: str) -> queue.SimpleQueue[list[str] | OSError]:
        answer: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except OSError as error:
                answer.put(error)
            except UnicodeError:  # a label of more than 63 characters, or an empty one
                answer.put(OSError(f"{host!r} is not a host name"))
            else:
                addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
                answer.put(addresses or OSError(f"{host} has no address"))

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        return answer
