-- name: read_successes
-- The newest first: what a start asks the ledger about sources.
SELECT id, source_path, source_sha256, source_size_bytes, source_change_counter, source_stamp, retired_path, finished_at
FROM {schema}.runs
WHERE outcome = 'succeeded' AND source_sha256 IS NOT NULL
ORDER BY id DESC

-- name: record_run
INSERT INTO {schema}.runs (
    outcome, started_at, finished_at, source_path, source_sha256, source_size_bytes, source_change_counter,
    source_stamp, entrypoint_version, exit_code, error, report)
VALUES (
    %(outcome)s, clock_timestamp() - make_interval(secs => %(seconds)s), clock_timestamp(), %(path)s, %(sha256)s,
    %(size_bytes)s, %(change_counter)s, %(stamp)s, %(version)s, %(exit_code)s, %(error)s, %(report)s)
RETURNING id

-- name: record_retired
UPDATE {schema}.runs SET retired_path = %(retired_path)s, source_stamp = %(stamp)s WHERE id = %(id)s

-- name: read_runs
SELECT id, outcome, started_at, finished_at, source_path, source_sha256, source_size_bytes, retired_path,
       entrypoint_version, exit_code, error, report
FROM {schema}.runs
ORDER BY id DESC
LIMIT %(limit)s

-- name: read_accounts
-- The successes of one source, wherever it lay or lies, the newest first, and what each preserved.
SELECT id, coalesce(
    (SELECT jsonb_object_agg(t ->> 'table', t -> 'preserved') FROM jsonb_array_elements(report #> '{{result,tables}}') t),
    '{{}}')
FROM {schema}.runs
WHERE outcome = 'succeeded' AND (source_sha256 = %(sha256)s OR retired_path = %(path)s OR source_path = %(path)s)
ORDER BY id DESC

-- name: read_rejects
SELECT source_key, cells, long_cells
FROM {schema}.rejects
WHERE run_id = %(run)s AND source_table = %(table)s
