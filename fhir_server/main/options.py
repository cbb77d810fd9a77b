"""What commands have in common: options, settings made of them, and refusals."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from fhir_server.config import Settings

DataDir = Annotated[
    Path | None, typer.Option(help="Database, blobs and keys.", show_default="sangam-data")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="PostgreSQL URL.", show_default="embedded, under --data-dir")
]
BrokerUrl = Annotated[
    str | None, typer.Option(help="redis://... or amqp://...", show_default="memory://")
]


def given(**flags: Any) -> Settings:  # noqa: ANN401  (each field checks its own)
    """Return the settings, flags first; what was not given is left to the others."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        fail(f"These settings cannot be used: {problems}. docs/settings.md lists them.")


def fail(text: str) -> NoReturn:
    """End the command with status 1 and a line that says why."""
    typer.secho(text, err=True, fg="red")
    raise typer.Exit(1)
