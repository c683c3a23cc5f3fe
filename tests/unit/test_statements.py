"""Where statements end; the server's own opinion is asked in tests/integration/test_schema_statements.py."""

from __future__ import annotations

import pytest

from entrypoint.schema.statements import find_first_statement, split_statements

CASES: list[tuple[str, list[str]]] = [
    ("", []),
    (" ; ;; -- nothing;\n /* no; */ ", []),
    ("SELECT 1", ["SELECT 1"]),
    ("SELECT 1;SELECT 2 ;", ["SELECT 1", "SELECT 2 "]),
    ("SELECT ';'; SELECT 'it''s; \\'; SELECT 3", ["SELECT ';'", "SELECT 'it''s; \\'", "SELECT 3"]),
    (r"SELECT E'a\';b'; SELECT e'\\'; SELECT 1", [r"SELECT E'a\';b'", r"SELECT e'\\'", "SELECT 1"]),
    ("SELECT E'a'\n  'b\\';c'; SELECT 1", ["SELECT E'a'\n  'b\\';c'", "SELECT 1"]),
    ("SELECT E'a' -- why\n 'b\\';c'; SELECT 1", ["SELECT E'a' -- why\n 'b\\';c'", "SELECT 1"]),
    (
        "SELECT U&'\\0061;', X'1F', B'1', N';'; SELECT 1",
        ["SELECT U&'\\0061;', X'1F', B'1', N';'", "SELECT 1"],
    ),
    ('SELECT 1 AS "a;""b;"; SELECT 2', ['SELECT 1 AS "a;""b;"', "SELECT 2"]),
    ("SELECT $$;$$; SELECT $a$ $$;$b$ $a$; x", ["SELECT $$;$$", "SELECT $a$ $$;$b$ $a$", "x"]),
    ("SELECT a$b$c; SELECT 1", ["SELECT a$b$c", "SELECT 1"]),
    ("SELECT $1; SELECT $2", ["SELECT $1", "SELECT $2"]),
    ("SELECT 1 /* ; /* ; */ ; */; SELECT 2", ["SELECT 1 /* ; /* ; */ ; */", "SELECT 2"]),
    ("SELECT 1 -- it's;\n; SELECT 2", ["SELECT 1 -- it's;\n", "SELECT 2"]),
    ("SELECT 1 --1;'\n+1; SELECT 2", ["SELECT 1 --1;'\n+1", "SELECT 2"]),
    (
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); SELECT 1",
        ["CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)", "SELECT 1"],
    ),
    (
        "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; "
        "END; SELECT 1",
        [
            "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; "
            "SELECT CASE WHEN true THEN 1 END; END",
            "SELECT 1",
        ],
    ),
    ('CREATE TABLE t ("begin" int); BEGIN; COMMIT', ['CREATE TABLE t ("begin" int)', "BEGIN", "COMMIT"]),
    ("SELECT 'open; SELECT 1", ["SELECT 'open; SELECT 1"]),
    ("SELECT E'open\\", ["SELECT E'open\\"]),
    ("SELECT $x$open; SELECT 1", ["SELECT $x$open; SELECT 1"]),
    ("SELECT 1; /* open; SELECT 1", ["SELECT 1"]),
    ('SELECT "open; ', ['SELECT "open;']),
    ("SELECT 'ж;𝔘'; SELECT жук$1; SELECT $ж$;$ж$", ["SELECT 'ж;𝔘'", "SELECT жук$1", "SELECT $ж$;$ж$"]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text[:40] for text, _ in CASES])
def test_statements_end_where_psql_ends_them(text: str, expected: list[str]) -> None:
    found = split_statements(text)
    assert [statement.text for statement in found] == expected
    assert all(text.startswith(statement.text, statement.offset) for statement in found)


def test_backslash_escapes_in_every_literal_where_the_session_says_so() -> None:
    text = r"SELECT '\';'; SELECT 1"
    assert len(split_statements(text, is_standard_conforming=False)) == 2
    assert [one.text for one in split_statements(text)] == [r"SELECT '\'", "'; SELECT 1"]


def test_transaction_control_is_recognised_by_its_first_word() -> None:
    text = "begin; CREATE INDEX commit_idx ON t (a); Commit; ROLLBACK; END; START TRANSACTION; SELECT 'BEGIN'"
    kinds = [statement.is_transaction_control for statement in split_statements(text)]
    assert kinds == [True, False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("text", "offset"), [("", None), ("-- a\n", None), ("/* ; */ ;", None), (" -- a\n ( ", 7), ("/**/'x'", 4)]
)
def test_first_statement_is_found_behind_comments(text: str, offset: int | None) -> None:
    assert find_first_statement(text) == offset
