"""Bookkeeping is told by name and columns; the tables are as the tools themselves create them in SQLite."""

from __future__ import annotations

import pytest

from entrypoint.model import SourceColumn, SourceTable
from entrypoint.transfer.plan.bookkeeping import recognise_tool


def recognise(name: str, columns: str) -> str | None:
    return recognise_tool(
        SourceTable(
            name=name,
            columns=tuple(
                SourceColumn(name=column, declared_type="", is_generated=False) for column in columns.split()
            ),
            key=(),
            has_rowid=True,
            autoincrement=None,
        )
    )


@pytest.mark.parametrize(
    ("name", "columns", "tool"),
    [
        ("_prisma_migrations", "id checksum finished_at migration_name logs rolled_back_at started_at "
         "applied_steps_count", "Prisma"),
        ("alembic_version", "version_num", "Alembic"),
        ("django_migrations", "id app name applied", "Django"),
        ("__diesel_schema_migrations", "version run_on", "diesel"),
        ("goose_db_version", "id version_id is_applied tstamp", "goose"),
        ("app_goose_db_version", "id version_id is_applied tstamp", "goose"),
        ("schema_migrations", "version dirty", "golang-migrate"),
        ("schema_migrations", "version", "Rails or dbmate"),
        ("schema_migrations", "version inserted_at", "Ecto"),
        ("schema_migration", "version version_self", "Pop"),
        ("ar_internal_metadata", "key value created_at updated_at", "Rails"),
        ("flyway_schema_history", "installed_rank version description type script checksum installed_by "
         "installed_on execution_time success", "Flyway"),
        ("schema_version", "version_rank installed_rank version description type script checksum "
         "installed_by installed_on execution_time success", "Flyway"),
        ("DATABASECHANGELOG", "ID AUTHOR FILENAME DATEEXECUTED ORDEREXECUTED EXECTYPE MD5SUM DESCRIPTION "
         "COMMENTS TAG LIQUIBASE CONTEXTS LABELS DEPLOYMENT_ID", "Liquibase"),
        ("DATABASECHANGELOGLOCK", "ID LOCKED LOCKGRANTED LOCKEDBY", "Liquibase"),
        ("knex_migrations", "id name batch migration_time", "knex"),
        ("knex_migrations_lock", "index is_locked", "knex"),
        ("xc_knex_migrationsv2", "id name batch migration_time", "knex"),
        ("migrations", "id name batch migration_time", "knex"),
        ("migrations_lock", "index is_locked", "knex"),
        ("migrations", "id timestamp name", "TypeORM"),
        ("typeorm_metadata", "type database schema table name value", "TypeORM"),
        ("migrations", "id name run_on", "db-migrate"),
        ("migrations", "id migration batch", "Laravel"),
        ("migrations", "id", "gormigrate"),
        ("SequelizeMeta", "name", "Sequelize"),
        ("SequelizeMeta", "name createdAt updatedAt", "Sequelize"),
        ("_sqlx_migrations", "version description installed_on success checksum execution_time", "sqlx"),
        ("gorp_migrations", "id applied_at", "gorp"),
        ("__EFMigrationsHistory", "MigrationId ProductVersion", "Entity Framework"),
        ("__EFMigrationsLock", "Id Timestamp", "Entity Framework"),
        ("VersionInfo", "Version AppliedOn Description", "FluentMigrator"),
        ("migratehistory", "id name migrated_at", "peewee-migrate"),
        ("migration_log", "id migration_id sql success error timestamp", "Grafana"),
        ("migration", "id description", "xormigrate"),
        ("atlas_schema_revisions", "version description type applied total executed_at execution_time error "
         "error_stmt hash partial_hashes operator_version", "Atlas"),
        ("_litestream_seq", "id seq", "Litestream"),
        ("_litestream_lock", "id", "Litestream"),
        ("doctrine_migration_versions", "version executed_at execution_time", "Doctrine"),
        ("bun_migrations", "id name group_id migrated_at", "Bun"),
        ("kysely_migration", "name timestamp", "Kysely"),
        ("d1_migrations", "id name applied_at", "D1"),
        ("_yoyo_log", "id migration_hash migration_id operation username hostname comment created_at_utc",
         "yoyo"),
    ],
)  # fmt: skip
def test_a_tool_s_table(name: str, columns: str, tool: str) -> None:
    assert recognise(name, columns) == tool


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("migrations", "id bird distance_km"),
        ("migrations", "id timestamp name bird"),
        ("migrations", "id name batch migration_time species"),
        ("migrations", "version notes"),
        ("schema_migrations", "version dirty note"),
        ("schema_version", "id version"),
        ("version", "id version"),
        ("versioninfo", "id version status"),
        ("migration", "id description season"),
        ("migration_log", "id bird"),
        ("changelog", "id version description"),
        ("sequelizemeta", "name value"),
        ("alembic_version", "version"),
        ("flyway_schema_history", "id note"),
        ("prisma_migrations", "id checksum migration_name"),
        ("_litestream_seq", "id seq name"),
    ],
)
def test_an_application_s_own_table_of_such_a_name(name: str, columns: str) -> None:
    assert recognise(name, columns) is None
