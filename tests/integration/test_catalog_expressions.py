"""Expressions of the catalog over rows that are only sent: names, types, collations, generated columns."""

from __future__ import annotations

from psycopg import sql

from entrypoint.postgres.catalog import read_tables
from entrypoint.postgres.queries import allow_parameters, send_rows, sent_rows, typed_row, write_expression
from tests.servers import Database

SCHEMA = """
CREATE DOMAIN short AS varchar(3);
CREATE TABLE "100% odd" (
  n int, "k0" text COLLATE "C", "A b" short, k numeric(6,2), "%s" boolean,
  twice int GENERATED ALWAYS AS (n * 2) STORED,
  CHECK (n > 1), CHECK (lower(k0) = 'rÉd'), CHECK ("A b" <> 'x%s'), CHECK (k = 1.5), CHECK ("%s" IS NULL),
  CHECK (twice < 10))
"""


def test_expressions_find_the_names_they_were_printed_with(database: Database) -> None:
    database.execute(SCHEMA)
    with database.connect() as connection:
        (table,) = read_tables(connection, ledger_schema="entrypoint")
        checks = [
            row[0]
            for row in connection.execute(
                "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint"
                " WHERE contype = 'c' AND conrelid = %s ORDER BY conname",
                (table.oid,),
            )
        ]
        statement = sql.SQL("SELECT k.n, {} FROM {} ORDER BY k.n").format(
            sql.SQL(", ").join(
                sql.SQL("(SELECT {} FROM {} AS r)").format(write_expression(check), typed_row(table.columns))
                for check in checks
            ),
            sent_rows(5),
        )
        rows = [("2", "RÉD", "abc", "1.50", None), ("7", "rot", "x%s", "2", "t")]
        found = connection.execute(allow_parameters(statement), send_rows(rows, 5)).fetchall()
    # Of the second row n > 1 holds alone.
    assert [(row[0], sorted(row[1:])) for row in found] == [(1, [True] * 6), (2, [False] * 5 + [True])]
    assert {column.name: column.generated_from for column in table.columns if column.generation} == {
        "twice": ("n",)
    }
