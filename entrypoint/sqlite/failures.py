"""What SQLite's errors become: the only translator of `apsw.Error`.

Owns the mapping to this program's errors and their remedies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from entrypoint.errors import EntrypointError, NotPermittedError, SourceRefusedError

REPAIR = "restore the file from a backup, or repair a copy of it with `sqlite3 FILE .recover`"
_PERMIT = "give the container's user read and write permission on the file and its directory"


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; the only place that does."""
    try:
        yield
    except apsw.BusyError as error:
        raise SourceRefusedError(
            "another process is writing to the source",
            where=str(path),
            remedy="stop whatever still uses the file and start again",
        ) from error
    except (apsw.NotADBError, apsw.CorruptError, apsw.FormatError) as error:
        raise SourceRefusedError(
            f"SQLite cannot read it: {error}",
            where=str(path),
            remedy=REPAIR,
        ) from error
    except (apsw.PermissionsError, apsw.AuthError, apsw.ReadOnlyError) as error:
        raise NotPermittedError(
            f"SQLite may not open it: {error}",
            where=str(path),
            remedy=_PERMIT,
        ) from error
    except apsw.CantOpenError as error:
        raise NotPermittedError(
            f"SQLite cannot open it: {error}",
            where=str(path),
            remedy=_PERMIT,
        ) from error
    except UnicodeDecodeError as error:
        raise SourceRefusedError(
            f"its catalog holds text in no valid encoding: {error.object!r:.60}",
            where=str(path),
            remedy=REPAIR,
        ) from error
    except apsw.Error as error:
        raise SourceRefusedError(
            f"SQLite failed: {error}", where=str(path), remedy="check the volume it is on and start again"
        ) from error
    except OSError as error:
        raise EntrypointError(
            f"cannot read the source: {error.strerror or error}",
            where=str(path),
            remedy="check the volume it is on",
        ) from error
