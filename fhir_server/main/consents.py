"""`sangam consent`: what consents of patients say, read anew from what is stored."""

import asyncio

import typer
from rich.console import Console

from fhir_server.interactions import consents
from fhir_server.main.target import Target

app = typer.Typer(help="Consents of patients.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Keep `rebuild` a command of its own."""


@app.command()
def rebuild(context: typer.Context) -> None:
    """Read all stored Consents anew, beside a running server if there is one.

    Needed where Consents were restored without their rows; new versions are read as they
    are written.

    Example: `sangam consent rebuild`
    """
    done = asyncio.run(_rebuilt(context.obj))
    Console().print(f"{done:,} Consents were read.")


async def _rebuilt(target: Target) -> int:
    console = Console()
    async with target.server() as server:
        with console.status("Reading Consents") as shown:
            return await consents.rebuild(
                server, lambda done: shown.update(f"Reading Consents: {done:,}")
            )
