-- What entrypoint remembers, in a schema of its own beside the application's tables.
-- Every statement may run again; {schema} is composed in as an identifier.

CREATE SCHEMA IF NOT EXISTS {schema};

CREATE TABLE IF NOT EXISTS {schema}.schema_migrations (
    version            numeric PRIMARY KEY CHECK (version >= 0 AND scale(version) = 0),
    name               text NOT NULL,
    checksum           text NOT NULL,   -- SHA-256 of the newline-normalised file, in hex
    state              text NOT NULL CHECK (state IN ('applied', 'started', 'baseline')),
    applied_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_s         double precision,
    entrypoint_version text NOT NULL
);

CREATE TABLE IF NOT EXISTS {schema}.runs (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outcome               text NOT NULL CHECK (outcome IN ('succeeded', 'failed')),
    started_at            timestamptz NOT NULL,
    finished_at           timestamptz NOT NULL,
    source_path           text,
    source_sha256         text,         -- of the pages as a checkpoint would leave them
    source_size_bytes     bigint,
    source_change_counter bigint,
    source_stamp          jsonb,        -- names, sizes and times of the unit's files: recognised without hashing
    retired_path          text,         -- null until the file has been renamed
    entrypoint_version    text NOT NULL,
    exit_code             integer NOT NULL,
    error                 text,
    report                jsonb NOT NULL
);

CREATE TABLE IF NOT EXISTS {schema}.rejects (
    run_id        bigint NOT NULL REFERENCES {schema}.runs,
    source_table  text NOT NULL,
    source_key    text NOT NULL,
    source_column text,
    reason        text NOT NULL,
    cells         jsonb NOT NULL,       -- by column: storage class, and value, hex, or place among the long cells
    long_cells    bytea                 -- the bytes of the cells that are too long for that, one after another
);

CREATE INDEX IF NOT EXISTS rejects_run_id_idx ON {schema}.rejects (run_id);

CREATE INDEX IF NOT EXISTS runs_source_sha256_idx ON {schema}.runs (source_sha256) WHERE outcome = 'succeeded';
