"""The data migration, a phase per module."""
