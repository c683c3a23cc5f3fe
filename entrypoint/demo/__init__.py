"""`entrypoint demo`: the main job on a PostgreSQL of its own, with a sample file; nothing of it remains."""

from entrypoint.demo.story import run_demo

__all__ = ["run_demo"]
