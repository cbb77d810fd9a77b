"""`sangam dicom`: what helps with modalities."""

from pathlib import Path
from typing import Annotated

import typer

from adapters.dicom.query import cli as query
from adapters.dicom.simulate import Study, write

app = typer.Typer(
    help="DICOM: peers, query, retrieval, sending, synthetic studies.", no_args_is_help=True
)

app.add_typer(query.app, name="peers")
for command in (query.echo, query.find, query.move, query.get, query.send):
    app.command()(command)


@app.callback()
def main() -> None:
    """Keep `simulate` a command of its own."""


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(help="Where the files are written.")],
    slices: Annotated[int, typer.Option(min=1, help="Instances of the study.")] = 20,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal studies.")] = 1,
    size: Annotated[int, typer.Option(min=1, max=4096, help="Rows and columns.")] = 512,
) -> None:
    """Write a synthetic CT study as DICOM files.

    Example: sangam dicom simulate /tmp/ct --slices 20
    """
    paths = write(directory, Study(seed=seed, slices=slices, size=size))
    typer.echo(f"{len(paths)} files in {directory}")
