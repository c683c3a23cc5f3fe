"""The source: a SQLite unit, opened without changing it."""
