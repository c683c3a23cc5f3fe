"""Which servers a conninfo names, and how their addresses are found in time."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from entrypoint.postgres.endpoints import Endpoint, Resolver, complete_parameters, list_endpoints


def test_one_port_goes_for_all_hosts() -> None:
    endpoints = list_endpoints({"host": "a,b", "port": "6000"})

    assert [endpoint.display() for endpoint in endpoints] == ["a:6000", "b:6000"]


def test_ports_pair_with_hosts_and_an_empty_one_is_the_default() -> None:
    endpoints = list_endpoints({"host": "a,::1,/run", "port": "6000,,6002"})

    assert [endpoint.display() for endpoint in endpoints] == ["a:6000", "[::1]:5432", "/run/.s.PGSQL.6002"]


@pytest.mark.parametrize(
    "parameters",
    [{"host": "a,b", "port": "1,2,3"}, {"host": "a,b", "hostaddr": "10.0.0.1"}, {"host": "a", "port": "1,2"}],
)
def test_lists_that_do_not_match_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="match"):
        list_endpoints(parameters)


def test_the_address_is_shown_where_it_says_more() -> None:
    endpoint = Endpoint(host="db", hostaddr="", port="5432")

    assert endpoint.display("10.0.0.7") == "db:5432 (10.0.0.7)"
    assert Endpoint(host="10.0.0.7", hostaddr="", port="5432").display("10.0.0.7") == "10.0.0.7:5432"


def test_hosts_come_from_the_environment_where_the_conninfo_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a,b")
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")

    assert complete_parameters({"dbname": "x"}) == {
        "dbname": "x",
        "host": "a,b",
        "hostaddr": "10.0.0.1",
        "port": "6000",
    }
    # PGHOSTADDR belongs to PGHOST, not to the host in the URL.
    assert complete_parameters({"host": "c"}) == {"host": "c", "port": "6000"}


def endpoint(host: str) -> Endpoint:
    return Endpoint(host=host, hostaddr="", port="5432")


def in_s(seconds: float) -> float:
    return time.monotonic() + seconds


def test_addresses_and_sockets_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: pytest.fail("looked up"))
    resolver = Resolver()

    assert resolver.resolve(endpoint("127.0.0.1"), deadline=in_s(1)) == ["127.0.0.1"]
    assert resolver.resolve(endpoint("::1"), deadline=in_s(1)) == ["::1"]
    assert resolver.resolve(endpoint("/run/postgresql"), deadline=in_s(1)) == [""]
    assert resolver.resolve(Endpoint(host="db", hostaddr="10.0.0.1", port="5432"), deadline=in_s(1)) == [
        "10.0.0.1"
    ]


def test_a_name_that_does_not_exist_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r".+") as caught:
        Resolver().resolve(endpoint("no-such-host.invalid"), deadline=in_s(5))
    assert not isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..b"])
def test_what_is_no_name_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        Resolver().resolve(endpoint(host), deadline=in_s(5))


def test_a_hanging_name_server_is_asked_once_and_does_not_outlive_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    calls: list[str] = []

    def hang(host: str, *_arguments: Any, **_keywords: Any) -> list[Any]:
        calls.append(host)
        release.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.9", 0))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = Resolver()
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            resolver.resolve(endpoint("slow"), deadline=in_s(0.1))
        assert time.monotonic() - started < 0.5
    release.set()

    assert resolver.resolve(endpoint("slow"), deadline=in_s(5)) == ["10.0.0.9"]
    assert calls == ["slow"]
