"""Where commands about tenants work: on the installation, never as one of its tenants."""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from fhir_server.config import Settings
from fhir_server.main.databases import database_of
from fhir_server.main.options import fail
from fhir_server.main.target import Target


@contextmanager
def installation(context: typer.Context) -> Iterator[tuple[Settings, str]]:
    """Lend settings and conninfo of the installation that the command line names."""
    target: Target = context.obj
    if target.tenant is not None:
        fail("These commands are the installation's; name the tenant without --tenant.")
    settings = target.present()
    with database_of(settings) as conninfo:
        yield settings, conninfo


def read_settings(file: Path | None) -> dict[str, Any]:
    """Return the settings of a TOML file, none without one."""
    return tomllib.loads(file.read_text()) if file else {}
