"""A Docker ENTRYPOINT that moves a self-hosted application from SQLite to PostgreSQL on restart."""

__version__ = "0.1.0"
