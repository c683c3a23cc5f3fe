"""The plan by names and by the mapping file: what settles a refusal is said, and mistakes are named."""

from __future__ import annotations

import pytest

from entrypoint.errors import ConfigurationError
from entrypoint.mapping import parse_mapping
from entrypoint.model import (
    IndexPart,
    Plan,
    SourceColumn,
    SourceTable,
    TargetColumn,
    TargetTable,
    UniqueIndex,
)
from entrypoint.transfer.plan import make_plan
from tests.cells import make_type


def make_source(name: str, *columns: str) -> SourceTable:
    return SourceTable(
        name=name,
        columns=tuple(
            SourceColumn(name=column, declared_type="TEXT", is_generated=False) for column in columns
        ),
        key=(),
        has_rowid=True,
        autoincrement=None,
    )


def make_target(oid: int, name: str, *columns: str) -> TargetTable:
    """Return a table; `c!` is NOT NULL, `c=` is generated, `c:TYPE` is of another type than text."""
    made = []
    for column in columns:
        spelled, _, type_name = column.partition(":")
        made.append(
            TargetColumn(
                name=spelled.rstrip("!="),
                type=make_type(type_name or "text"),
                is_not_null=spelled.endswith("!"),
                has_default=False,
                is_generated=spelled.endswith("="),
                identity="",
                sequence=None,
            )
        )
    return TargetTable(
        oid=oid,
        schema="public",
        name=name,
        is_partitioned=False,
        is_owned=True,
        is_lockable=True,
        has_row_security=False,
        columns=tuple(made),
        unique_indexes=(
            UniqueIndex(
                name=f"{name}_pkey",
                parts=(
                    IndexPart(
                        expression="id", collation=None, column="id", operator="=", is_deterministic=True
                    ),
                ),
                predicate=None,
                needs=("id",),
                is_primary=True,
                is_nulls_not_distinct=False,
            ),
        ),
        foreign_keys=(),
        triggers=(),
        rules=(),
    )


SOURCES = (
    make_source("Person", "id", "Name", "lastSeen", "when"),
    make_source("Note", "id", "body"),
    make_source("Notes_old", "id"),
)
TARGETS = (
    make_target(
        1, "person", "id!", "name", "last_seen_at", "when:timestamp with time zone", "must!", "made="
    ),
    make_target(2, "note", "id!", "body:integer"),
    make_target(3, "notes", "id!"),
    make_target(4, "tags", "id!"),
)


def plan(mapping: str = "", *, has_data: bool = True, only: tuple[str, ...] = ()) -> Plan:
    return make_plan(
        SOURCES,
        TARGETS,
        mapping=parse_mapping(mapping, name="map.toml"),
        has_data=lambda table, column: has_data,
        only=only,
    )


def test_what_could_settle_a_refusal_is_said_the_likeliest_first() -> None:
    refusals = {(refusal.table, refusal.column): refusal for refusal in plan().refusals}
    assert {place: refusal.entries for place, refusal in refusals.items()} == {
        ("Person", "lastSeen"): ('target = "last_seen_at"', "ignore = true"),
        ("Person", "must"): ('default = ""',),
        ("Notes_old", None): ('target = "notes"', "ignore = true"),
    }
    assert refusals["Notes_old", None].candidates == ("notes", "tags")  # the others are taken
    assert refusals["Notes_old", None].remedy == (
        "let the schema migrations create it, or say in the mapping file: [tables.Notes_old] "
        'target = "notes" or ignore = true (target = "…" may be: notes, tags)'
    )
    assert refusals["Person", "must"].remedy == (
        "give the column a default in the target, or say in the mapping file: "
        '[tables.Person.columns] must = { default = "" }'
    )


def test_no_target_is_proposed_twice() -> None:
    sources = (make_source("tags_a", "id"), make_source("tags_b", "id"), make_source("xyz", "id"))
    found = make_plan(
        sources, TARGETS[3:], mapping=parse_mapping("", name="map.toml"), has_data=lambda table, column: True
    )
    assert [refusal.entries for refusal in found.refusals] == [
        ('target = "tags"', "ignore = true"),
        ("ignore = true",),
        ("ignore = true",),
    ]


def test_an_empty_table_needs_no_home_and_no_defaults() -> None:
    found = plan(has_data=False)
    assert found.refusals == ()
    assert {item.name for item in found.skipped} == {"Notes_old", "Person.lastSeen"}


def test_each_choice_settles_it() -> None:
    settled = plan(
        '[tables.Notes_old]\ntarget = "notes"\n'
        '[tables.Person.columns]\nlastSeen = { ignore = true }\nmust = { default = "" }'
    )
    assert settled.refusals == ()
    assert {table.source.name: table.match for table in settled.tables} == {
        "Person": "case",
        "Note": "case",
        "Notes_old": "mapping",
    }
    by_name = {table.source.name: table for table in settled.tables}
    assert [column.match for column in by_name["Person"].columns] == ["exact", "case", "exact", "constant"]
    assert by_name["Person"].key_name == "primary key person_pkey"


def test_how_a_name_was_found_is_told() -> None:
    long = "ä" * 40
    (table,) = make_plan(
        (make_source("userAccounts", "Id", "isActive", "plain", long),),
        (make_target(1, "user_accounts", "id!", "is_active", "plain", long[:31]),),
        mapping=parse_mapping("", name="map.toml"),
        has_data=lambda table, column: True,
    ).tables
    assert (table.match, [column.match for column in table.columns]) == (
        "snake",
        ["case", "snake", "exact", "cut"],
    )


def test_an_ignored_column_may_give_way_to_a_default() -> None:
    settled = plan(
        "[tables.Notes_old]\nignore = true\n[tables.Person.columns]\nlastSeen = { ignore = true }\n"
        'id = { ignore = true, default = "7" }\nmust = { default = "" }'
    )
    by_name = {table.source.name: table for table in settled.tables}
    constants = {column.target.name: column.constant for column in by_name["Person"].columns}
    assert constants == {"Name".lower(): None, "when": None, "id": "7", "must": ""}


@pytest.mark.parametrize("entry", ["", "[tables.Person.columns.must]", "[tables.Person.columns.lastSeen]"])
def test_an_entry_that_says_nothing_changes_nothing(entry: str) -> None:
    assert plan(entry) == plan()


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        (
            "[tables.Persons]",
            "mapping file: tables: no table Persons in the source; it has: Person, Notes_old, Note; "
            "did you mean Person?",
        ),
        (
            '[tables.Note]\ntarget = "nots"',
            "mapping file: tables.Note.target: no table nots in the target; "
            "it has: notes, note, tags, person; did you mean notes?",
        ),
        (
            "[tables.Note.columns]\nbdy = { ignore = true }",
            "mapping file: tables.Note.columns.bdy: no column bdy in source table Note; it has: body, id; "
            "did you mean body?",
        ),
        (
            "[tables.Note.columns.nothing]",
            "mapping file: tables.Note.columns.nothing: no column nothing in source table Note; "
            "it has: id, body",
        ),
        (
            '[tables.Note.columns]\nbody = { target = "boddy" }',
            "mapping file: tables.Note.columns.body.target: no column boddy in public.note; "
            "it has: body, id; did you mean body?",
        ),
        (
            '[tables.Person.columns]\nmst = { default = "x" }',
            "mapping file: tables.Person.columns.mst: no column mst in public.person; "
            "it has: must, made, name, last_seen_at, id, when; did you mean must?",
        ),
        (
            '[tables.Person.columns]\nwhen = { default = "x" }',
            "mapping file: tables.Person.columns.when: default is for a column of the target "
            "without a source, and Person.when fills it unless that has ignore = true",
        ),
        (
            '[tables.Person.columns]\nname = { default = "x" }',
            "mapping file: tables.Person.columns.name: default is for a column of the target "
            "without a source, and Person.Name fills it unless that has ignore = true",
        ),
        (
            '[tables.Person.columns]\nmade = { default = "x" }',
            "mapping file: tables.Person.columns.made: default is for a column of the target "
            "without a source, and PostgreSQL computes it",
        ),
        (
            '[tables.Note.columns]\nbody = { unit = "s" }',
            "mapping file: tables.Note.columns.body: unit is for numbers that become times, "
            "and public.note.body is integer",
        ),
        (
            '[tables.Note]\nkey = ["id", "boody"]',
            "mapping file: tables.Note.key: boody names a column that is not migrated; it has: body, id; "
            "did you mean body?",
        ),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(mapping: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan(mapping)
    assert refused.value.problems == (problem,)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan('[tables.x]\n[tables.Note]\nkey = ["y"]\n[tables.Note.columns]\nz = { unit = "s" }')
    assert len(refused.value.problems) == 3
