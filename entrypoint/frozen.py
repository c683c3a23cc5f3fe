"""The environment as the container gave it: what the interpreter around us changed in it is undone.

Owns the knowledge of what PyInstaller's bootloader and CPython's own start do to `os.environ`. Must not
read settings, log, or start anything: it is called before an application inherits the environment.

What changes it, measured with PyInstaller 6.22 (one-folder mode) and CPython 3.11 to 3.13 on Linux:

- The bootloader puts its library folder in front of `LD_LIBRARY_PATH`, keeps the old value, if there was
  one, in `LD_LIBRARY_PATH_ORIG`, sets `_PYI_ARCHIVE_FILE`, `_PYI_LINUX_PROCESS_NAME` and
  `_PYI_PARENT_PROCESS_LEVEL`, and executes itself again (`bootloader/src/pyi_main.c`). An application
  that is linked to another libcrypto or libpython would load ours.
- Its Python half deletes `VIRTUAL_ENV` (`PyInstaller/loader/pyiboot01_bootstrap.py`).
- CPython in a C or POSIX locale sets `LC_CTYPE` for itself and its children (PEP 538).
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

_LIBRARY_PATH = "LD_LIBRARY_PATH"
_BOOTLOADER_PREFIX = "_PYI_"
_STARTED_WITH = Path("/proc/self/environ")


def restore_environment(environ: MutableMapping[str, str]) -> None:
    """Undo, in place, what starting this program did to `environ`; safe to call again.

    Call it once, early: after a change of user the kernel no longer shows a process the environment it
    was started with, and then only what the bootloader added is undone. An empty `LD_LIBRARY_PATH`
    cannot be told from an unset one, which means the same to the loader.

    Args:
        environ: variables by name, normally `os.environ`.
    """
    started_with = _read_started_with()
    bundle = getattr(sys, "_MEIPASS", None)
    if bundle is not None:
        _undo_bootloader(environ, str(bundle))
        if "VIRTUAL_ENV" in started_with:
            environ.setdefault("VIRTUAL_ENV", started_with["VIRTUAL_ENV"])
    if started_with and "LC_CTYPE" not in started_with:
        environ.pop("LC_CTYPE", None)


def _undo_bootloader(environ: MutableMapping[str, str], bundle: str) -> None:
    for name in [name for name in environ if name.startswith(_BOOTLOADER_PREFIX)]:
        del environ[name]
    ours, separator, original = environ.get(_LIBRARY_PATH, "").partition(":")
    if ours != bundle:
        return  # restored before, or set by somebody else since
    if separator:
        environ[_LIBRARY_PATH] = original
        environ.pop(f"{_LIBRARY_PATH}_ORIG", None)
    else:  # it was unset, so that the bootloader kept no copy: a variable of that name is the user's
        del environ[_LIBRARY_PATH]


def _read_started_with() -> dict[str, str]:
    try:
        block = _STARTED_WITH.read_bytes()
    except OSError:  # no /proc, or the user was changed
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in block.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}
