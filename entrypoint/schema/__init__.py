"""Schema migrations: file layouts, applying, reverting, and SCHEMA_COMMAND."""
