"""The program: handlers first, then everything else.

A container's first process has no default signal dispositions, so the handlers stand before the imports
that take time.
"""

from __future__ import annotations

import sys

from entrypoint.interrupts import install_handlers


def main() -> int:
    """Run the command line of this process and return its exit code."""
    install_handlers()
    from entrypoint.cli import run_command_line  # after the handlers

    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
