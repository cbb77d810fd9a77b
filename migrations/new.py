"""A new migration: `python migrations/new.py "message"`, or `make migration m="message"`.

Starts a throw-away PostgreSQL, migrates it, and writes the script that leads from
there to the declared tables. `--first` writes 0001 anew (until the first release).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from fhir_server.main import migrate, postgres

HERE = Path(__file__).parent


def main(message: str, *, first: bool) -> None:
    """Write migrations/versions/NNNN_message.py."""
    versions = HERE / "versions"
    versions.mkdir(exist_ok=True)
    if first:
        for script in versions.glob("*.py"):
            script.unlink()
    number = f"{len(list(versions.glob('*.py'))) + 1:04}"
    with tempfile.TemporaryDirectory(prefix="sangam-migration-") as place:
        directory = Path(place) / "postgres"
        uri = postgres.ensure_database(postgres.start(directory), "sangam")
        try:
            migrate.migrate(uri)
            migrate.write_revision(uri, message, number)
        finally:
            postgres.stop(directory)
    ruff = (sys.executable, "-m", "ruff")
    subprocess.run((*ruff, "check", "--select=F,I", "--fix", "--quiet", versions), check=True)
    subprocess.run((*ruff, "format", "--quiet", versions), check=True)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--first"]
    main(" ".join(words) or "First tables", first="--first" in sys.argv)
