"""Everything that speaks to the target: connections, waiting, the advisory lock, the catalog."""
