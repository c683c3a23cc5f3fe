"""libpq's keywords against libpq itself."""

from __future__ import annotations

from psycopg import pq

from entrypoint import dialects


def test_every_keyword_of_libpq_is_known() -> None:
    assert {option.keyword.decode() for option in pq.Conninfo.get_defaults()} <= dialects.LIBPQ_KEYWORDS


def test_every_variable_of_libpq_is_read() -> None:
    by_variable = {
        option.envvar.decode(): option.keyword.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar
    }
    environment = {variable: f"value of {variable}" for variable in by_variable}
    assert {keyword: f"value of {variable}" for variable, keyword in by_variable.items()} == (
        dialects.read_libpq_variables(environment)
    ) or pq.version() < 180000  # an older libpq lacks some
    assert dialects.read_libpq_variables({"PGHOST": "", "PATH": "x"}) == {}


def test_every_secret_of_libpq_is_known() -> None:
    hidden = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.dispchar == b"*"}
    assert hidden <= set(dialects.SECRET_KEYWORDS)


def test_no_name_is_in_two_tables() -> None:
    assert not dialects.FOREIGN_KEYWORDS & dialects.LIBPQ_KEYWORDS
