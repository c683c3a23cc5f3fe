"""The tables in which migration tools keep their own books: known by name and columns, never migrated.

A table counts as bookkeeping only if both fit, so that an application's own table of the same name is data. A
name that could be anybody's (`migrations`, `schema_version`) takes exactly the tool's columns; one that is
the tool's alone may have gained some since.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from entrypoint.model import SourceTable


@dataclass(frozen=True, slots=True, kw_only=True)
class _Books:
    """A tool's table, in lower case; `*` in its name stands for whatever others put there.

    Attributes:
        required: columns that are there.
        optional: columns that may be; None: any.
    """

    tool: str
    table: str
    required: frozenset[str]
    optional: frozenset[str] | None


def _describe(tool: str, table: str, columns: str) -> _Books:
    """Read `a b`, exactly these; `a b ? c`, c perhaps; `a b *`, and any others."""
    required, _, optional = columns.replace("*", "").partition("?")
    return _Books(
        tool=tool,
        table=table,
        required=frozenset(required.split()),
        optional=None if "*" in columns else frozenset(optional.split()),
    )


_KNOWN = tuple(
    _describe(tool, table, columns)
    for tool, table, columns in (
        ("Aerich", "aerich", "id version app content"),
        ("Alembic", "alembic_version", "version_num"),
        ("Atlas", "atlas_schema_revisions", "version description applied total hash *"),
        ("Bun", "*bun_migrations", "id name group_id migrated_at *"),
        ("Bun", "*bun_migration_locks", "id table_name *"),
        ("CodeIgniter", "migrations", "id version class group namespace time batch"),
        ("D1", "d1_migrations", "id name applied_at"),
        ("db-migrate", "migrations", "id name run_on"),
        ("diesel", "__diesel_schema_migrations", "version run_on"),
        ("Django", "django_migrations", "id app name applied"),
        ("Django (South)", "south_migrationhistory", "id app_name migration applied"),
        ("Doctrine", "doctrine_migration_versions", "version ? executed_at execution_time"),
        ("Doctrine", "migration_versions", "version ? executed_at execution_time"),
        ("Drizzle", "__drizzle_migrations", "id hash created_at *"),
        ("Ecto", "schema_migrations", "version inserted_at"),
        ("Entity Framework", "__efmigrationshistory", "migrationid productversion *"),
        ("Entity Framework", "__efmigrationslock", "id timestamp"),
        ("Evolve", "changelog", "id type version description name checksum installed_by installed_on"
         " success"),
        ("Fluent", "_fluent_migrations", "id name batch *"),
        ("FluentMigrator", "versioninfo", "version ? appliedon description"),
        ("Flyway", "flyway_schema_history", "installed_rank version checksum *"),
        ("Flyway", "schema_version", "installed_rank version description type script checksum installed_by"
         " installed_on execution_time success ? version_rank"),
        ("golang-migrate", "schema_migrations", "version dirty"),
        ("goose", "*goose_db_version", "id version_id is_applied ? tstamp"),
        ("gorp", "gorp_migrations", "id applied_at"),
        ("gormigrate", "migrations", "id"),
        ("Grafana", "*migration_log", "id migration_id sql success error timestamp"),
        ("GRDB", "grdb_migrations", "identifier"),
        ("knex", "*knex_migrations*", "id name batch migration_time"),
        ("knex", "*knex_migrations*_lock", "is_locked ? index"),
        ("knex", "migrations", "id name batch migration_time"),
        ("knex", "migrations_lock", "index is_locked"),
        ("knex-migrator", "migrations", "id name version currentversion"),
        ("knex-migrator", "migrations_lock", "lock_key locked acquired_at released_at"),
        ("Kysely", "*kysely_migration", "name timestamp"),
        ("Kysely", "*kysely_migration_lock", "id is_locked"),
        ("Laravel", "migrations", "migration batch ? id"),
        ("Liquibase", "databasechangelog", "id author filename orderexecuted *"),
        ("Liquibase", "databasechangeloglock", "id locked lockgranted *"),
        ("Litestream", "_litestream_lock", "id"),
        ("Litestream", "_litestream_seq", "id seq"),
        ("maragudk/migrate", "migrations", "version"),
        ("micrate", "micrate_db_version", "id version_id is_applied ? tstamp"),
        ("MikroORM", "mikro_orm_migrations", "id name executed_at"),
        ("node-pg-migrate", "pgmigrations", "id name run_on"),
        ("node-sqlite", "migrations", "id name up down"),
        ("peewee-migrate", "migratehistory", "id name migrated_at"),
        ("Phinx", "*phinxlog", "version migration_name start_time *"),
        ("Piccolo", "migration", "id name app_name ran_on"),
        ("Play", "play_evolutions", "id hash applied_at apply_script revert_script state last_problem"),
        ("Play", "play_evolutions_lock", "lock"),
        ("PocketBase", "_migrations", "file applied"),
        ("Pop", "schema_migration", "version ? version_self"),
        ("Prisma", "_prisma_migrations", "id checksum migration_name *"),
        ("Rails", "ar_internal_metadata", "key value created_at ? updated_at"),
        ("Rails or dbmate", "schema_migrations", "version"),
        ("Refinery", "refinery_schema_history", "version name applied_on checksum"),
        ("SeaORM", "seaql_migrations", "version applied_at"),
        ("Sequelize", "sequelizemeta", "name ? createdat updatedat"),
        ("Sequelize", "sequelizedata", "name ? createdat updatedat"),
        ("SQLAlchemy-migrate", "migrate_version", "repository_id repository_path version"),
        ("sqlx", "_sqlx_migrations", "version description checksum *"),
        ("togo", "migrations", "name"),
        ("TypeORM", "migrations", "id timestamp name"),
        ("TypeORM", "typeorm_metadata", "type database schema table name value"),
        ("xormigrate", "migration", "id description"),
        ("xormigrate", "migrations", "id description"),
        ("Yii", "migration", "version apply_time"),
        ("yoyo", "_yoyo_log", "id migration_hash migration_id operation *"),
        ("yoyo", "_yoyo_migration", "migration_hash migration_id applied_at_utc"),
        ("yoyo", "_yoyo_version", "version installed_at_utc"),
        ("yoyo", "yoyo_lock", "locked ctime pid"),
    )
)  # fmt: skip


def recognise_tool(table: SourceTable) -> str | None:
    """Return the migration tool whose bookkeeping this table is, or None."""
    name = table.name.lower()
    columns = {column.name.lower() for column in table.columns}
    for books in _KNOWN:
        is_known = books.required <= columns and (
            books.optional is None or columns <= books.required | books.optional
        )
        if is_known and fnmatchcase(name, books.table):
            return books.tool
    return None
