"""The commands beside the story: each does one thing by hand, prints what it found, returns an exit code.

Results go to stdout, as text or as a JSON document with `version`. The phases they call are `bootstrap`'s.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from entrypoint.commands.data import migrate, verify
from entrypoint.commands.schema import schema_down, schema_status, schema_up
from entrypoint.commands.state import status, wait
from entrypoint.settings import Settings

Command = Callable[[Settings, argparse.Namespace], int]


def demo(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Show the main job on an embedded PostgreSQL."""
    from entrypoint.demo import run_demo  # an extra, and nothing a start needs

    return run_demo(settings)


COMMANDS: dict[str, Command] = {
    "wait": wait,
    "migrate": migrate,
    "verify": verify,
    "status": status,
    "demo": demo,
}
SCHEMA_ACTIONS: dict[str, Command] = {"up": schema_up, "down": schema_down, "status": schema_status}
