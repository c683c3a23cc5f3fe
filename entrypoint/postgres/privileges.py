"""Which privileges the connecting role lacks for a migration, and the statements that would give them.

Owns what each of this program's statements asks for (manual, "Privileges" and each command's page). Reads
only: found before anything is loaded, and all of it at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from entrypoint.errors import NotPermittedError
from entrypoint.model import TargetSequence, TargetTable
from entrypoint.postgres.catalog import has_rows
from entrypoint.postgres.queries import load_queries

# LOCK TABLE … SHARE ROW EXCLUSIVE is content with any of them; the first is what is asked for.
_LOCKING = "UPDATE, DELETE, TRUNCATE"
_ORDER = ("SELECT", "INSERT", "UPDATE")
_LEDGER = {
    "runs": ("SELECT", "INSERT", "UPDATE"),
    "rejects": ("INSERT",),
}

Name = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a migration does with one table.

    Attributes:
        columns: that are written where rows arrive.
        is_loaded: rows arrive.
        is_updating: standing rows may be overwritten.
        sequences: that are moved.
        referenced: (schema, table, columns) of tables that are only looked into for its foreign keys.
        altered: relations that only their owner may have altered as the load needs it.
    """

    table: TargetTable
    columns: tuple[str, ...]
    is_loaded: bool
    is_updating: bool
    sequences: tuple[TargetSequence, ...] = ()
    referenced: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    altered: tuple[Name, ...] = ()


def require_privileges(
    connection: psycopg.Connection[Any], uses: Sequence[Use], *, ledger_schema: str
) -> None:
    """Raise where the role lacks what the migration needs, with the statements that settle it.

    Raises:
        NotPermittedError: naming each GRANT, or ALTER … OWNER TO where only ownership will do.
    """
    _refuse(connection, _Search(connection, ledger_schema).list_missing(uses))


def require_ledger_privileges(connection: psycopg.Connection[Any], *, ledger_schema: str) -> None:
    """Raise where a ledger stands that the role may not read and write (errors as `require_privileges`)."""
    _refuse(connection, _Search(connection, ledger_schema).list_for_ledger())


def _refuse(connection: psycopg.Connection[Any], statements: Iterable[str]) -> None:
    if missing := list(dict.fromkeys(statements)):
        raise NotPermittedError(
            f"role {connection.info.user} lacks what the migration needs",
            where="PostgreSQL",
            remedy=f"run as a superuser, or as the owner where it may: {'; '.join(missing)}",
        )


class _Search:
    """One look at the catalog; every method yields statements."""

    def __init__(self, connection: psycopg.Connection[Any], ledger_schema: str) -> None:
        self._connection = connection
        self._ledger_schema = ledger_schema
        self._queries = load_queries(__package__, "privileges.sql")
        self._role = connection.info.user
        self._granted: set[str] = set()  # roles whose rights a statement gives already
        self._handed_over: set[Name] = set()

    def list_missing(self, uses: Sequence[Use]) -> Iterator[str]:
        yield from self._list_schemas(uses)
        yield from self._list_owners(uses)
        yield from self._list_tables(uses)
        yield from self._list_sequences(uses)
        yield from self._list_functions(uses)
        yield from self._list_for_database(uses)

    def _ask(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(self._queries[name], parameters).fetchall()

    def _quote(self, *names: str) -> str:
        """Return a name as PostgreSQL would print it: quoted where it has to be."""
        row = self._connection.execute(
            "SELECT string_agg(quote_ident(name), '.' ORDER BY n)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS part (name, n)",
            (list(names),),
        ).fetchone()
        assert row is not None
        return str(row[0])

    def _write(self, what: str) -> str:
        return f"{what} TO {self._quote(self._role)}"

    def _list_schemas(self, uses: Sequence[Use]) -> Iterator[str]:
        schemas = {use.table.schema for use in uses}
        schemas |= {sequence.schema for use in uses for sequence in use.sequences}
        schemas |= {schema for use in uses for schema, _, _ in use.referenced}
        schemas |= {schema for (schema,) in self._ask("type_schemas", **_describe_columns(uses))}
        for (schema,) in self._ask("schemas", schemas=sorted(schemas)):
            yield self._write(f"GRANT USAGE ON SCHEMA {self._quote(schema)}")

    def _list_owners(self, uses: Sequence[Use]) -> Iterator[str]:
        altered = sorted({name for use in uses for name in use.altered})
        for schema, table, owner in self._ask("owners", **_split(altered, "schemas", "tables")):
            self._handed_over.add((schema, table))
            if owner is None:
                yield self._write(f"ALTER TABLE {self._quote(schema, table)} OWNER")
            elif owner not in self._granted:
                self._granted.add(owner)
                yield self._write(f"GRANT {self._quote(owner)}")

    def _list_tables(self, uses: Sequence[Use]) -> Iterator[str]:
        wanted: list[tuple[str, str, str, Jsonb]] = []
        for use in uses:
            columns = Jsonb(list(use.columns))
            own = [("SELECT", Jsonb([]))]  # of the whole table: verification reads system columns
            if use.is_loaded:
                own += [("INSERT", columns), (_LOCKING, Jsonb([]))]
                own += [("UPDATE", columns)] if use.is_updating else []
            wanted += [(use.table.schema, use.table.name, *privilege) for privilege in own]
            wanted += [
                (schema, table, "SELECT", Jsonb(list(names))) for schema, table, names in use.referenced
            ]
        schemas, tables, privileges, columns_of = zip(*wanted, strict=True) if wanted else ((), (), (), ())
        rows = self._ask(
            "tables",
            schemas=list(schemas),
            tables=list(tables),
            privileges=list(privileges),
            columns=list(columns_of),
        )
        yield from self._grant("TABLE", rows)

    def _list_sequences(self, uses: Sequence[Use]) -> Iterator[str]:
        names = sorted({(sequence.schema, sequence.name) for use in uses for sequence in use.sequences})
        rows = self._ask("sequences", **_split(names, "schemas", "sequences"))
        # A sequence changes hands with the table it belongs to.
        yield from self._grant("SEQUENCE", [row[:4] for row in rows if row[4:] not in self._handed_over])

    def _grant(self, kind: str, rows: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
        found: dict[Name, list[str]] = defaultdict(list)
        for schema, name, owner, privilege in rows:
            if owner not in self._granted and (schema, name) not in self._handed_over:
                found[schema, name].append(privilege.split(",")[0])
        for relation, privileges in found.items():
            listed = ", ".join(privilege for privilege in _ORDER if privilege in privileges)
            yield self._write(f"GRANT {listed} ON {kind} {self._quote(*relation)}")

    def _list_functions(self, uses: Sequence[Use]) -> Iterator[str]:
        for (signature,) in self._ask("functions", **_describe_columns(uses)):
            yield self._write(f"GRANT EXECUTE ON FUNCTION {signature}")

    def _list_for_database(self, uses: Sequence[Use]) -> Iterator[str]:
        ((database, can_create, can_stage),) = self._ask("database")
        name = self._quote(database)
        merged = [use for use in uses if use.is_loaded and self._may_hold_rows(use.table)]
        if merged and not can_stage:
            yield self._write(f"GRANT TEMPORARY ON DATABASE {name}")
        for (type_name,) in self._ask("types", **_describe_columns(merged)):
            yield self._write(f"GRANT USAGE ON TYPE {type_name}")
        if not can_create and not self._ask("ledger", schema=self._ledger_schema):
            yield self._write(f"GRANT CREATE ON DATABASE {name}")
        yield from self.list_for_ledger()

    def list_for_ledger(self) -> Iterator[str]:
        """Yield what a ledger that stands, or a schema made for it, lacks."""
        schema = self._ledger_schema
        for can_create, is_present in self._ask("ledger", schema=schema):
            if self._ask("schemas", schemas=[schema]):
                yield self._write(f"GRANT USAGE ON SCHEMA {self._quote(schema)}")
            if not is_present and not can_create:
                yield self._write(f"GRANT CREATE ON SCHEMA {self._quote(schema)}")
            wanted = [(table, privilege) for table, listed in _LEDGER.items() for privilege in listed]
            rows = self._ask(
                "tables",
                schemas=[schema] * len(wanted),
                tables=[table for table, _ in wanted],
                privileges=[privilege for _, privilege in wanted],
                columns=[Jsonb([])] * len(wanted),
            )
            yield from self._grant("TABLE", rows)

    def _may_hold_rows(self, table: TargetTable) -> bool:
        """Tell whether rows will go through a staging table: they may where nobody may look."""
        try:
            with self._connection.transaction():
                return has_rows(self._connection, table)
        except psycopg.errors.InsufficientPrivilege:
            return True


def _describe_columns(uses: Sequence[Use]) -> dict[str, Any]:
    loaded = [use for use in uses if use.is_loaded]
    return {
        "oids": [use.table.oid for use in loaded],
        "columns": [Jsonb(list(use.columns)) for use in loaded],
    }


def _split(names: Sequence[Name], first: str, second: str) -> dict[str, Any]:
    return {first: [name[0] for name in names], second: [name[1] for name in names]}
