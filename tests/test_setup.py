"""The set-up of the environment: which Python it takes, and what it says when it cannot.

`uv`, `id`, `apt-get` and the Pythons are stubs here; the suite itself runs in an
environment that the real ones made.
"""

import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / ".ci" / "setup"
# A Python answers the questions of the script by its exit status.
PYTHON = """\
case "$*" in
    *version_info\\ *) exit {old} ;;
    *ensurepip*) exit {bare} ;;
    *python%d*) echo python3.11-venv ;;
    *venv*) echo "{name} makes it"; exit 3 ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of commands without uv; whoever asks is a plain user."""
    for name, script in {"uv": "exit 127", "id": "echo 1000", "apt-get": "echo apt-get $*"}.items():
        command(tmp_path, name, script)
    for name in ("python3.11", "python3.12", "python3.13", "python3.14", "python3"):
        command(tmp_path, name, "exit 127")
    return tmp_path


def command(place: Path, name: str, script: str) -> None:
    (place / name).write_text(f"#!/bin/sh\n{script}\n")
    (place / name).chmod(0o755)


def python(place: Path, name: str, *, old: int = 0, bare: int = 0) -> None:
    command(place, name, PYTHON.format(name=name, old=old, bare=bare))


def setup(place: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["/bin/sh", SETUP, ".venv", *arguments],
        cwd=place,
        env={"PATH": f"{place}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_first_python_that_runs_and_is_new_enough_is_taken(place: Path) -> None:
    python(place, "python3.12", old=1)
    python(place, "python3.13")
    assert setup(place) == (3, ["Setting up .venv ...", "python3.13 makes it"])


def test_without_a_python_it_says_what_to_install(place: Path) -> None:
    python(place, "python3", old=1)
    assert setup(place) == (
        1,
        [
            "Sangam needs Python 3.11 or newer. Install it:",
            "    apt install python3 python3-venv",
            "or say where one is: make PYTHON=/path/to/python3",
        ],
    )


def test_a_python_that_is_asked_for_and_too_old_is_refused(place: Path) -> None:
    python(place, "python3.12")
    python(place, "mine", old=1)
    assert setup(place, "mine") == (1, ["mine is no Python 3.11 or newer."])


def test_a_plain_user_is_told_the_missing_package(place: Path) -> None:
    python(place, "python3.11", bare=1)
    assert setup(place) == (
        1,
        [
            "python3.11 cannot make virtual environments. Install what it lacks:",
            "    sudo apt install python3.11-venv",
        ],
    )


def test_root_installs_the_missing_package(place: Path) -> None:
    python(place, "python3.11", bare=1)
    command(place, "id", "echo 0")
    fixed = PYTHON.format(name="python3.11", old=0, bare=0)
    command(place, "apt-get", f"cat > {place}/python3.11 <<'END'\n#!/bin/sh\n{fixed}END")
    assert setup(place) == (
        3,
        ["Installing python3.11-venv ...", "Setting up .venv ...", "python3.11 makes it"],
    )
