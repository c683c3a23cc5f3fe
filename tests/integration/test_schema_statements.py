"""The statement scanner against PostgreSQL itself: both must see the same statements."""

from __future__ import annotations

from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrypoint.schema.script import send
from entrypoint.schema.statements import split_statements
from tests.servers import Database

# What literals and comments are filled with: everything that opens, closes, escapes or ends something.
_FILLING = st.text(alphabet=st.sampled_from(";'\"\\$-/*() \nabE_é𝔘"), max_size=8)


def _escape_string(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _continued_string(text: str) -> str:
    return "E'x'\n '" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _dollar_string(text: str) -> str:
    return "$zq$" + text.replace("$zq$", "") + "$zq$"


_LITERAL = st.one_of(
    _FILLING.map(lambda text: "'" + text.replace("'", "''") + "'"),
    _FILLING.map(_escape_string),
    _FILLING.map(_continued_string),
    _FILLING.map(_dollar_string),
    _FILLING.map(lambda text: "$$" + text.replace("$", "") + "$$"),
    _FILLING.map(lambda text: "U&'" + text.replace("'", "''").replace("\\", "\\\\") + "'"),
    st.just("(1)"),
    st.just("ARRAY[1]"),
)
_COMMENT = st.one_of(
    _FILLING.map(lambda text: "--" + text.replace("\n", "") + "\n"),
    _FILLING.map(lambda text: "/*" + text.replace("*", "").replace("/", "") + "*/"),
    st.just("/* /* ; */ ' */"),
    st.sampled_from([" ", "\n", "\t", "\r\n"]),
)
_ALIAS = _FILLING.filter(bool).map(lambda text: '"x' + text.replace('"', '""') + '"')


@st.composite
def _statements(draw: st.DrawFn) -> str:
    def gap() -> str:
        return " " + draw(_COMMENT) + " "

    if draw(st.integers(min_value=0, max_value=5)) == 0:
        return gap()
    return f"{gap()}SELECT{gap()}{draw(_LITERAL)}{gap()}AS{gap()}{draw(_ALIAS)}{gap()}"


def _run(connection: psycopg.Connection[Any], text: str) -> list[tuple[str, bytes | None]]:
    """Return name and value of the first column of each result."""
    pgconn = connection.pgconn
    found = []
    results = pgconn.exec_(text.encode())
    assert results.status in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.EMPTY_QUERY), text
    found.append(((results.fname(0) or b"").decode(), results.get_value(0, 0)))
    return found


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(parts=st.lists(_statements(), max_size=5))
def test_scanner_and_server_see_the_same_statements(database: Database, parts: list[str]) -> None:
    text = ";".join(parts)
    with database.connect() as connection:
        outcome = send(connection, text)
        assert outcome.error is None, text
        expected = [tag for tag in outcome.tags if tag]
        found = split_statements(text)
        assert len(found) == len(expected), text
        for statement in found:
            _run(connection, statement.text)


def test_function_bodies_rules_and_do_blocks_are_one_statement_each(database: Database) -> None:
    text = """
        CREATE TABLE a (id int); CREATE TABLE b (id int);
        CREATE FUNCTION f() RETURNS int LANGUAGE sql
          BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 ELSE 3 END; END;
        CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO a VALUES (1); INSERT INTO b VALUES (2); END;
        CREATE RULE r AS ON DELETE TO a DO ALSO (DELETE FROM b; INSERT INTO b VALUES (9));
        CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $body$
        BEGIN
          -- it's; tricky
          PERFORM 'x;'; RETURN NEW;
        END $body$;
        DO $$ BEGIN CALL p(); END; $$;
        SELECT f();
    """
    with database.connect() as connection:
        for statement in split_statements(text):
            assert send(connection, statement.text).error is None, statement.text
        assert connection.execute("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)").fetchone() == (
            1,
            1,
        )
    assert len(split_statements(text)) == 8


def test_session_that_escapes_with_backslashes_is_taken_at_its_word(database: Database) -> None:
    text = r"SELECT '\';'; SELECT 1"
    with database.connect() as connection:
        connection.execute("SET standard_conforming_strings = off; SET escape_string_warning = off")
        assert len(send(connection, text).tags) == 2
        assert len(split_statements(text, is_standard_conforming=False)) == 2
