"""The two images: what the folder weighs, how fast it starts, where it runs, that it leaves no trace."""

from __future__ import annotations

import pytest

from tests.acceptance.containers import PROGRAM, docker, make_timed

LARGEST_FOLDER_BYTES = 50_000_000
SLOWEST_START_MS = 250
C_LIBRARY = {"libc": 6, "libm": 6, "libdl": 2, "libpthread": 0, "libresolv": 2, "librt": 1, "libutil": 1}


@pytest.fixture(scope="module")
def bookworm_image(standalone_image: str) -> str:
    """The oldest Debian that the folder promises to run on, with the folder in it and no Python."""
    dockerfile = (
        f"FROM debian:bookworm-slim\nCOPY --from={standalone_image} /opt/entrypoint /opt/entrypoint\n"
    )
    tag = "pg-entrypoint-bookworm"
    docker("build", "--tag", tag, "-", stdin=dockerfile.encode())
    return tag


def test_the_folder_is_below_fifty_megabytes(bookworm_image: str) -> None:
    answer = docker("run", "--rm", bookworm_image, "du", "-sb", "/opt/entrypoint").stdout
    assert int(answer.split()[0]) < LARGEST_FOLDER_BYTES


@pytest.mark.parametrize("arguments", [("--version",), ("run", "--", "true")], ids=" ".join)
def test_the_folder_starts_quickly(bookworm_image: str, arguments: tuple[str, ...]) -> None:
    elapsed_ms = int(docker("run", "--rm", bookworm_image, *make_timed(PROGRAM, *arguments)).stdout)
    assert elapsed_ms < SLOWEST_START_MS


def test_the_folder_runs_where_nothing_may_be_written(bookworm_image: str) -> None:
    options = ("--read-only", "--tmpfs=/tmp:noexec", "--user=4321:4321", "--env=HOME=")
    result = docker("run", "--rm", *options, bookworm_image, PROGRAM, "run", "--", "id", "-u")
    assert result.stdout == "4321\n"


def test_the_folder_needs_nothing_but_the_c_library(bookworm_image: str) -> None:
    script = (
        "find /opt/entrypoint -type f \\( -name '*.so*' -o -name entrypoint \\) "
        "-exec env LD_LIBRARY_PATH=/opt/entrypoint/_internal ldd {} + | grep -e '=>' -e 'not found'"
    )
    needed = docker("run", "--rm", bookworm_image, "bash", "-c", script).stdout
    names = {line.split()[0] for line in needed.splitlines() if "/opt/entrypoint/_internal/" not in line}
    assert names
    assert names <= {f"{name}.so.{n}" for name, n in C_LIBRARY.items()}


def test_the_folder_brings_its_time_zones(bookworm_image: str) -> None:
    hidden = "--tmpfs=/usr/share/zoneinfo"
    command = (bookworm_image, PROGRAM, "run", "--", "true")
    assert docker("run", "--rm", hidden, "--env=SOURCE_TIMEZONE=Europe/Berlin", *command).returncode == 0
    refused = docker("run", "--rm", hidden, "--env=SOURCE_TIMEZONE=Mars/Olympus", *command, check=False)
    assert refused.returncode == 78
    assert "SOURCE_TIMEZONE" in refused.stderr


@pytest.mark.parametrize(
    "variables",
    [{}, {"LD_LIBRARY_PATH": "/usr/lib/app:/opt/lib", "VIRTUAL_ENV": "/srv/venv", "LC_ALL": "POSIX"}],
    ids=["plain", "with variables of its own"],
)
def test_an_application_gets_the_environment_of_the_container(
    bookworm_image: str, variables: dict[str, str]
) -> None:
    options = [
        "run",
        "--rm",
        "--hostname=same",
        *(f"--env={name}={value}" for name, value in variables.items()),
    ]
    plain = docker(*options, bookworm_image, "env").stdout
    through = docker(*options, bookworm_image, PROGRAM, "run", "--", "env").stdout
    assert sorted(through.splitlines()) == sorted(plain.splitlines())


def test_an_application_starts_as_if_it_had_been_alone(bookworm_image: str) -> None:
    script = (
        "tr '\\0' ' ' </proc/1/cmdline; pwd; ls /proc/self/fd | wc -l; "
        "grep -E '^(Sig(Blk|Ign|Cgt)|Umask|Threads|NSpid)' /proc/self/status"
    )
    command = ("bash", "-c", script)
    plain = docker("run", "--rm", bookworm_image, *command).stdout
    through = docker("run", "--rm", bookworm_image, PROGRAM, "run", "--", *command).stdout
    assert through == plain


def test_the_base_image_passes_through_without_postgresql(base_image: str) -> None:
    result = docker("run", "--rm", base_image, "bash", "-c", "echo hi; id -u; id -g; pwd")
    assert result.stdout == "hi\n10001\n10001\n/app\n"
    assert len(result.stderr.splitlines()) == 1, "one information line is enough"


def test_the_base_image_owns_what_it_writes_and_nothing_else(base_image: str) -> None:
    script = "touch /app/file /app/data/file && test ! -w /opt/venv && test ! -w /usr/local/bin"
    assert docker("run", "--rm", base_image, "bash", "-c", script).returncode == 0


def test_the_base_image_ships_no_build_tools(base_image: str) -> None:
    script = (
        "ls /opt; ls /opt/venv/bin /opt/venv/lib/python3*/site-packages; find /opt/venv -name '*.py' | wc -l"
    )
    listing = docker("run", "--rm", base_image, "bash", "-c", script).stdout.split()
    assert {"entrypoint", "psycopg"} <= set(listing)
    assert not {"build", "hatchling", "pip", "setuptools", "wheel", "pytest"} & set(listing)


def test_the_base_image_needs_a_command(base_image: str) -> None:
    result = docker("run", "--rm", base_image, check=False)
    assert result.returncode == 64
    assert len(result.stderr.splitlines()) == 1


def test_the_base_image_has_bytecode_for_everything_it_imports(base_image: str) -> None:
    code = (
        "import entrypoint, importlib, pathlib, pkgutil, sys\n"
        "for module in pkgutil.walk_packages(entrypoint.__path__, 'entrypoint.'):\n"
        "    importlib.import_module(module.name)\n"
        "for module in list(sys.modules.values()):\n"
        "    cached = getattr(getattr(module, '__spec__', None), 'cached', None)\n"
        "    if cached and not pathlib.Path(cached).exists(): print(module.__name__)\n"
    )
    assert docker("run", "--rm", base_image, "/opt/venv/bin/python3", "-c", code).stdout == ""


def test_a_command_that_does_not_exist_is_said_so(bookworm_image: str) -> None:
    result = docker("run", "--rm", bookworm_image, PROGRAM, "run", "--", "no-such-program", check=False)
    assert result.returncode == 127
    assert "no-such-program" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_demo_without_its_extra_says_what_to_install(bookworm_image: str) -> None:
    result = docker("run", "--rm", bookworm_image, PROGRAM, "demo", check=False)
    assert result.returncode == 78
    assert result.stderr.count("\n") == 1
    assert "pip install" in result.stderr
