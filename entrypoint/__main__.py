"""The program: handlers first, then everything else.

A container's first process has no default signal dispositions, so the handlers stand before the imports
that take time.
"""

from __future__ import annotations

import sys

from entrypoint.interrupts import Interrupted, install_handlers


def main() -> int:
    """Run the command line of this process and return its exit code."""
    install_handlers()
    try:
        from entrypoint.cli import run_command_line  # after the handlers

        return run_command_line(sys.argv[1:])
    except Interrupted as interrupted:  # during the imports, or while another error was being told
        print(f"entrypoint: {interrupted.error}", file=sys.stderr)  # noqa: T201
        return interrupted.error.exit_code


if __name__ == "__main__":
    sys.exit(main())
