"""What PyInstaller and CPython do to the environment is undone before an application inherits it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from entrypoint.frozen import restore_environment

BUNDLE = "/opt/entrypoint/_internal"
BOOTLOADER = {
    "_PYI_ARCHIVE_FILE": "/opt/entrypoint/entrypoint",
    "_PYI_LINUX_PROCESS_NAME": "entrypoint",
    "_PYI_PARENT_PROCESS_LEVEL": "1",
}


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_MEIPASS", BUNDLE, raising=False)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    ("changed", "original"),
    [
        pytest.param({"LD_LIBRARY_PATH": BUNDLE}, {}, id="it was unset"),
        pytest.param(
            {"LD_LIBRARY_PATH": f"{BUNDLE}:/usr/lib/app", "LD_LIBRARY_PATH_ORIG": "/usr/lib/app"},
            {"LD_LIBRARY_PATH": "/usr/lib/app"},
            id="one folder",
        ),
        pytest.param(
            {"LD_LIBRARY_PATH": f"{BUNDLE}:/a:/b", "LD_LIBRARY_PATH_ORIG": "/a:/b"},
            {"LD_LIBRARY_PATH": "/a:/b"},
            id="two folders",
        ),
        pytest.param(
            {"LD_LIBRARY_PATH": BUNDLE, "LD_LIBRARY_PATH_ORIG": "/mine"},
            {"LD_LIBRARY_PATH_ORIG": "/mine"},
            id="the copy is the user's own variable",
        ),
        pytest.param({"LD_LIBRARY_PATH": "/a:/b"}, {"LD_LIBRARY_PATH": "/a:/b"}, id="set since"),
    ],
)
def test_the_bootloader_leaves_no_trace(changed: dict[str, str], original: dict[str, str]) -> None:
    environ = {"PATH": "/bin", **BOOTLOADER, **changed}
    restore_environment(environ)
    assert environ == {"PATH": "/bin", **original}
    restore_environment(environ)
    assert environ == {"PATH": "/bin", **original}, "a second call changed it"


def test_an_ordinary_interpreter_keeps_the_library_path() -> None:
    environ = {"LD_LIBRARY_PATH": f"{BUNDLE}:/a", "_PYI_ARCHIVE_FILE": "somebody else's"}
    restore_environment(environ)
    assert environ == {"LD_LIBRARY_PATH": f"{BUNDLE}:/a", "_PYI_ARCHIVE_FILE": "somebody else's"}


def run_python(code: str, environ: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_deleted_virtual_env_comes_back() -> None:
    code = (
        "import os, sys; from entrypoint.frozen import restore_environment\n"
        "sys._MEIPASS = '/opt/entrypoint/_internal'; del os.environ['VIRTUAL_ENV']\n"
        "restore_environment(os.environ); print(os.environ['VIRTUAL_ENV'])"
    )
    assert run_python(code, {**os.environ, "VIRTUAL_ENV": "/srv/venv"}) == "/srv/venv"


@pytest.mark.parametrize(("given", "expected"), [({}, "None"), ({"LC_CTYPE": "C.UTF-8"}, "C.UTF-8")])
def test_the_coerced_locale_is_not_passed_on(given: dict[str, str], expected: str) -> None:
    code = (
        "import os; from entrypoint.frozen import restore_environment\n"
        "assert 'LC_CTYPE' in os.environ, 'the interpreter did not coerce'\n"
        "restore_environment(os.environ); print(os.environ.get('LC_CTYPE'))"
    )
    assert run_python(code, {"PATH": os.environ["PATH"], "LANG": "C", **given}) == expected
