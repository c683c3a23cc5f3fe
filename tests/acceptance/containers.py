"""Docker through its own command line: images built once, and the Compose example as a project of its own."""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHAT = ROOT / "compose-examples" / "chat"

BASE_IMAGE = "pg-entrypoint"
STANDALONE_IMAGE = "pg-entrypoint:standalone"  # the name that the example's Dockerfile copies from
CHAT_IMAGE = "pg-entrypoint-chat"
PROGRAM = "/opt/entrypoint/entrypoint"

APPLICATION_UID = 1000  # the user of the example's image
_COMMAND_TIMEOUT_S = 300
_BUILD_TIMEOUT_S = 900

# Prints the best of ten runs of a command in milliseconds, measured inside the container: what Docker
# itself needs to start one, and what else the machine is doing, is not ours.
_TIME_BEST_OF_TEN = """
best=1000000
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  begun=$(date +%s%N); "$@" >/dev/null 2>&1 || exit 1; ended=$(date +%s%N)
  elapsed=$(( (ended - begun) / 1000000 )); [ "$elapsed" -lt "$best" ] && best=$elapsed
done
echo "$best"
"""

Result = subprocess.CompletedProcess[str]


def docker(
    *arguments: str | Path,
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout_s: float = _COMMAND_TIMEOUT_S,
) -> Result:
    """Run `docker ARGUMENTS`; a failure that `check` asks for shows what Docker said."""
    done = subprocess.run(
        ["docker", *(str(argument) for argument in arguments)],
        capture_output=True,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**os.environ, "DOCKER_BUILDKIT": "0", **(environment or {})},
        timeout=timeout_s,
        check=False,
    )
    result = Result(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    if check and result.returncode:
        raise AssertionError(f"{result.args} exited {result.returncode}:\n{result.stdout}\n{result.stderr}")
    return result


def is_docker_present() -> bool:
    """Tell whether an engine answers and Compose v2 is installed."""
    try:
        return all(
            docker(*command, check=False, timeout_s=20).returncode == 0
            for command in (("info",), ("compose", "version"))
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def build_image(tag: str, dockerfile: Path, context: Path) -> str:
    """Build `tag` with the layer cache and return its name."""
    docker("build", "--tag", tag, "--file", dockerfile, context, timeout_s=_BUILD_TIMEOUT_S)
    return tag


def make_timed(*command: str) -> tuple[str, ...]:
    """Return a command that prints how many milliseconds `command` takes at best."""
    return ("sh", "-c", _TIME_BEST_OF_TEN, "time", *command)


@dataclass
class Project:
    """The chat example under a project name of its own, with its own volumes, network and ports.

    Args:
        environment: variables for `compose.yaml` to interpolate.
        overrides: further Compose files, laid over the example's in their order.
    """

    environment: dict[str, str] = field(default_factory=dict)
    overrides: tuple[Path, ...] = ()
    name: str = field(default_factory=lambda: f"chat-{secrets.token_hex(4)}")
    password: str = field(default_factory=lambda: f"pw{secrets.token_hex(8)}")

    @property
    def database_url(self) -> str:
        """The database as containers on the project's network reach it."""
        return f"postgresql://chat:{self.password}@db:5432/chat"

    def compose(self, *arguments: str, check: bool = True) -> Result:
        files = [f"--file={path}" for path in (CHAT / "compose.yaml", *self.overrides)]
        environment = {
            "CHAT_IMAGE": CHAT_IMAGE,
            "CHAT_PORT": "0",
            "POSTGRES_PASSWORD": self.password,
            "DATABASE_URL": self.database_url,
            **self.environment,
        }
        return docker(
            "compose",
            "--project-name",
            self.name,
            *files,
            *arguments,
            check=check,
            environment=environment,
        )

    def up(self, *services: str) -> None:
        """Start the services and wait until they are healthy; on failure show their logs."""
        result = self.compose(
            "up", "--detach", "--no-build", "--wait", "--wait-timeout=120", *services, check=False
        )
        if result.returncode:
            raise AssertionError(f"up failed: {result.stderr}\n{self.read_logs()}")

    def down(self) -> None:
        """Remove containers and network; the volumes stay, as `docker compose down` leaves them."""
        self.compose("down", "--timeout=5")

    def remove(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout=1", check=False)

    def find_container(self) -> str:
        """Return the id of the application's container, running or not."""
        return self.compose("ps", "--all", "--quiet", "app").stdout.strip()

    def read_logs(self) -> str:
        """Return what the application's container wrote: stdout, then stderr, where our lines are."""
        result = docker("logs", self.find_container())
        return result.stdout + result.stderr

    def read_events(self) -> list[dict[str, Any]]:
        """Return the program's log lines; lines that are no JSON object are the application's."""
        return [json.loads(line) for line in self.read_logs().splitlines() if line.startswith("{")]

    def execute(self, *command: str, check: bool = True) -> Result:
        """Run a command in the running application container."""
        return self.compose("exec", "--no-TTY", "app", *command, check=check)

    def run_app(self, *command: str, environment: Mapping[str, str] | None = None) -> Result:
        """Run the application's container once, in the foreground, with the database as it is."""
        variables = [f"--env={name}={value}" for name, value in (environment or {}).items()]
        return self.compose("run", "--rm", "--no-TTY", "--no-deps", *variables, "app", *command, check=False)

    def query(self, statement: str) -> list[list[str]]:
        """Run one SQL statement in the database and return its rows as text."""
        psql = ("psql", "--username=chat", "--dbname=chat", "--csv", "--tuples-only", "--command", statement)
        output = self.compose("exec", "--no-TTY", "db", *psql).stdout
        return [line.split(",") for line in output.splitlines()]

    def get(self, path: str) -> Any:
        """Return the JSON that the application answers under `path`."""
        return self._request(urllib.request.Request(self._base_url() + path))

    def post(self, path: str, body: object) -> Any:
        data = json.dumps(body).encode()
        return self._request(urllib.request.Request(self._base_url() + path, data=data, method="POST"))

    def _base_url(self) -> str:
        return "http://" + self.compose("port", "app", "3000").stdout.strip()

    @staticmethod
    def _request(request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def create(self) -> None:
        """Create containers and volumes without starting anything."""
        self.compose("create", "--no-build")

    def fill_volume(
        self, files: Mapping[str, bytes], *, uid: int = APPLICATION_UID, mode: int = 0o644
    ) -> None:
        """Put `files` (content by name) into the volume of the application's data."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.uid, member.gid, member.mode = len(content), uid, uid, mode
                member.mtime = int(time.time())
                tar.addfile(member, io.BytesIO(content))
        self._in_volume("tar", "-x", "-f", "-", "-C", "/data", stdin=archive.getvalue())

    def change_mode_of_volume(self, *, uid: int, mode: int) -> None:
        """Give the volume's directory another owner and mode."""
        self._in_volume("sh", "-c", f"chown {uid}:{uid} /data && chmod {mode:o} /data")

    def hash_volume(self) -> dict[str, str]:
        """Return the SHA-256 of every file in the volume, by name.

        Less `-shm`: it holds no data, and SQLite writes its locks and its index of the log there to read.
        """
        script = "cd /data && find . -type f ! -name '*-shm' -exec sha256sum {} +"
        lines = self._in_volume("sh", "-c", script).stdout.splitlines()
        return {name.removeprefix("./"): digest for digest, name in (line.split("  ", 1) for line in lines)}

    def _in_volume(self, *command: str, stdin: bytes | None = None) -> Result:
        volume = f"{self.name}_data:/data"
        options = ("run", "--rm", "--interactive", "--network=none", "--user=0", "--volume", volume)
        return docker(*options, "--entrypoint", command[0], CHAT_IMAGE, *command[1:], stdin=stdin)


def read_container_state(container: str) -> dict[str, Any]:
    """Return `State` of `docker inspect`."""
    state: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", container).stdout)
    return state
