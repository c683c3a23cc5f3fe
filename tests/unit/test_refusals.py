"""What a failed log-in means, by SQLSTATE and stage; never by the server's language."""

from __future__ import annotations

import pytest
from psycopg import pq

from entrypoint.errors import ConfigurationError, EntrypointError, NotPermittedError, UnreachableError
from entrypoint.postgres.refusals import (
    ConnectFailedError,
    ConnectFailure,
    Disposition,
    Phase,
    judge_answer,
    judge_handshake,
)

AUTHENTICATING = pq.ConnStatus.AWAITING_RESPONSE
TLS = pq.ConnStatus.SSL_STARTUP


def judge(
    message: str, stage: pq.ConnStatus | None = AUTHENTICATING, *, asked: bool = False
) -> ConnectFailure:
    return judge_handshake("db:5432", message, stage=stage, needs_password=asked)


@pytest.mark.parametrize(
    ("sqlstate", "disposition", "error"),
    [
        ("28P01", Disposition.FAIL, NotPermittedError),
        ("28000", Disposition.FAIL, NotPermittedError),
        ("42501", Disposition.FAIL, NotPermittedError),
        ("3D000", Disposition.GRACE, UnreachableError),
        ("57P01", Disposition.RETRY, UnreachableError),
        ("57P02", Disposition.RETRY, UnreachableError),
        ("57P03", Disposition.RETRY, UnreachableError),
        ("53300", Disposition.RETRY, UnreachableError),
        ("08006", Disposition.RETRY, UnreachableError),
        ("08P01", Disposition.RETRY, UnreachableError),
        ("XX000", Disposition.RETRY, UnreachableError),
        ("22023", Disposition.FAIL, ConfigurationError),
        ("42704", Disposition.FAIL, ConfigurationError),
    ],
)
def test_the_sqlstate_decides(sqlstate: str, disposition: Disposition, error: type[EntrypointError]) -> None:
    failure = judge_answer("db:5432", sqlstate, "какой-то текст")

    assert failure.disposition is disposition
    assert isinstance(failure.to_error(), error)
    assert "какой-то текст" in str(failure.to_error())
    assert "db:5432" in str(failure.to_error())


@pytest.mark.parametrize(
    ("text", "disposition"),
    [
        ("password authentication failed", Disposition.FAIL),
        ("no such user: x", Disposition.FAIL),
        ("no such database: x", Disposition.GRACE),
        ("unsupported startup parameter: options", Disposition.FAIL),
        ("server login has been failing, try again later (server_login_retry)", Disposition.RETRY),
        ("query_wait_timeout", Disposition.RETRY),
    ],
)
def test_pgbouncers_only_code_is_told_apart_by_its_text(text: str, disposition: Disposition) -> None:
    assert judge_answer("db:6432", "08P01", text).disposition is disposition


def test_the_sqlstate_is_read_from_a_localised_verbose_message() -> None:
    failure = judge(
        'connection to server at "db" (10.0.0.2), port 5432 failed: '
        "ВАЖНО:  28P01: пользователь «app» не прошёл проверку подлинности (по паролю)\n"
        "LOCATION:  auth_failed, auth.c:331\n"
    )

    assert failure.sqlstate == "28P01"
    assert failure.reason == "пользователь «app» не прошёл проверку подлинности (по паролю) (28P01)"


def test_after_a_fallback_from_tls_both_reasons_stand_and_the_last_code_decides() -> None:
    failure = judge(
        'connection to server at "db" (10.0.0.2), port 5432 failed: FATAL:  57P03: is starting\n'
        'connection to server at "db" (10.0.0.2), port 5432 failed: FATAL:  28000: no entry for host\n'
    )

    assert failure.sqlstate == "28000"
    assert failure.reason == "is starting; no entry for host (28000)"


@pytest.mark.parametrize(
    "message",
    [
        "SSL error: certificate verify failed",
        'server certificate for "a" does not match host name "b"',
        "server does not support SSL, but SSL was required",
        'root certificate file "/x.crt" does not exist',
        'private key file "/x.key" has group or world access',
    ],
)
def test_a_refusal_of_tls_is_final(message: str) -> None:
    failure = judge(f'connection to server at "db" (10.0.0.2), port 5432 failed: {message}\n', TLS)

    assert failure.disposition is Disposition.FAIL
    assert failure.to_error().exit_code == 69
    assert message in str(failure.to_error())


@pytest.mark.parametrize(
    "message",
    [
        "SSL SYSCALL error: Connection reset by peer",
        "SSL SYSCALL error: EOF detected",
        "SSL error: unexpected eof while reading",
        "server closed the connection unexpectedly",
        "could not receive data from server: Connection reset by peer",
        "server sent an error response during SSL exchange",
    ],
)
def test_a_connection_that_breaks_during_tls_is_tried_again(message: str) -> None:
    failure = judge(f'connection to server at "db" (10.0.0.2), port 5432 failed: {message}\n', TLS)

    assert failure.disposition is Disposition.RETRY


def test_what_libpq_refuses_before_connecting_is_configuration() -> None:
    failure = judge('invalid sslmode value: "maybe"\n', None)

    assert isinstance(failure.to_error(), ConfigurationError)
    assert 'invalid sslmode value: "maybe"' in str(failure.to_error())


def test_a_missing_socket_is_no_configuration() -> None:
    failure = judge(
        'connection to server on socket "/s/.s.PGSQL.5432" failed: No such file or directory\n', None
    )

    assert failure.disposition is Disposition.RETRY
    assert failure.reason == "No such file or directory"


def test_a_password_that_was_asked_for_and_is_missing_is_final() -> None:
    failure = judge(
        'connection to server at "db", port 5432 failed: fe_sendauth: no password supplied\n', asked=True
    )

    assert isinstance(failure.to_error(), NotPermittedError)


def refused(server: str) -> ConnectFailure:
    return ConnectFailure(server=server, reason="Connection refused", phase=Phase.CONNECT)


def test_of_the_addresses_of_one_server_the_one_that_answered_decides() -> None:
    answered = judge_answer("localhost:5432 (127.0.0.1)", "28000", "no entry")

    for failures in (
        [refused("localhost:5432 (::1)"), answered],
        [answered, refused("localhost:5432 (::1)")],
    ):
        assert ConnectFailedError(failures).verdict is answered


def test_one_server_that_may_become_ready_is_waited_for() -> None:
    failures = [refused("a:5432"), judge_answer("b:5432", "28000", "no entry")]

    assert ConnectFailedError(failures).verdict.disposition is Disposition.RETRY


def test_a_wrong_password_is_wrong_on_every_server() -> None:
    failures = [judge_answer("a:5432", "28P01", "wrong"), refused("b:5432")]

    assert ConnectFailedError(failures).verdict.disposition is Disposition.FAIL


def test_every_server_stands_in_the_reason_once() -> None:
    error = ConnectFailedError([refused("a:1"), refused("b:2"), refused("a:1")])

    assert error.reason == "a:1: Connection refused; b:2: Connection refused"
