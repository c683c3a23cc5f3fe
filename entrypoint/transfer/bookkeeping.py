"""The tables in which migration tools keep their own books: known by name and columns, never migrated.

A table counts as bookkeeping only if both fit, so that an application's own table of the same name is data.
"""

from __future__ import annotations

from entrypoint.model import SourceTable

# Tool, table name in lower case, columns in lower case that must be there.
_KNOWN: tuple[tuple[str, str, frozenset[str]], ...] = tuple(
    (tool, table, frozenset(columns.split()))
    for tool, table, columns in (
        ("Prisma", "_prisma_migrations", "id checksum migration_name"),
        ("Alembic", "alembic_version", "version_num"),
        ("Django", "django_migrations", "id app name applied"),
        ("diesel", "__diesel_schema_migrations", "version run_on"),
        ("goose", "goose_db_version", "id version_id is_applied"),
        ("golang-migrate", "schema_migrations", "version dirty"),
        ("Rails or dbmate", "schema_migrations", "version"),
        ("Rails", "ar_internal_metadata", "key value created_at"),
        ("Flyway", "flyway_schema_history", "installed_rank version checksum"),
        ("Liquibase", "databasechangelog", "id author filename orderexecuted"),
        ("Liquibase", "databasechangeloglock", "id locked lockgranted"),
        ("knex", "knex_migrations", "id name batch migration_time"),
        ("knex", "knex_migrations_lock", "is_locked"),
        ("TypeORM", "migrations", "id timestamp name"),
        ("TypeORM", "typeorm_metadata", "type database schema"),
        ("Laravel", "migrations", "id migration batch"),
        ("maragudk/migrate", "migrations", "version"),
        ("togo", "migrations", "name"),
        ("Sequelize", "sequelizemeta", "name"),
        ("sqlx", "_sqlx_migrations", "version description checksum"),
        ("gorp", "gorp_migrations", "id applied_at"),
        ("Entity Framework", "__efmigrationshistory", "migrationid productversion"),
        ("Entity Framework", "__efmigrationslock", "id timestamp"),
        ("Drizzle", "__drizzle_migrations", "id hash created_at"),
        ("SeaORM", "seaql_migrations", "version applied_at"),
        ("MikroORM", "mikro_orm_migrations", "id name executed_at"),
        ("Refinery", "refinery_schema_history", "version name applied_on checksum"),
        ("Phinx", "phinxlog", "version migration_name start_time"),
        ("yoyo", "_yoyo_migration", "migration_hash migration_id"),
        ("xormigrate", "migration_log", "id migration_id sql success"),
    )
)
_MOST_EXTRA_COLUMNS = 8


def recognise_tool(table: SourceTable) -> str | None:
    """Return the migration tool whose bookkeeping this table is, or None."""
    name = table.name.lower()
    columns = {column.name.lower() for column in table.columns}
    for tool, known, required in _KNOWN:
        if name == known and required <= columns and len(columns) <= len(required) + _MOST_EXTRA_COLUMNS:
            if len(required) == 1 and known.endswith("migrations") and columns != required:
                continue
            return tool
    return None
