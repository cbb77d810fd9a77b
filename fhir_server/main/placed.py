"""Commands of other packages that all take the options of where the data are."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from fhir_server.main.options import DatabaseUrl, DataDir

_probe = typer.Typer(add_completion=False)


@_probe.command()
def _options(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    tenant: Annotated[
        str | None, typer.Option(help="A tenant of the installation.", show_default="none")
    ] = None,
) -> None:
    """Carry the options, as typer makes them."""


class Placed(TyperGroup):
    """A group in which each command, however deep, takes --data-dir, --database-url, --tenant."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401  (typer's own)
        super().__init__(**settings)
        for command in _leaves(self.commands):
            known = {one.name for one in command.params}
            command.params += [one for one in _made() if one.name not in known]


def _leaves(commands: Mapping[str, Any]) -> Iterator[Any]:
    for command in commands.values():
        if hasattr(command, "commands"):
            yield from _leaves(command.commands)
        else:
            yield command


def _made() -> list[Any]:
    """Return new options that tell the context's Target what was given."""
    found = [one for one in get_command(_probe).params if one.name != "help"]
    for one in found:
        one.expose_value, one.callback = False, _tell
    return found


def _tell(context: Any, option: Any, value: object) -> object:  # noqa: ANN401  (click's signature)
    if value is not None and hasattr(context.obj, "at"):
        context.obj = context.obj.at(**{option.name: value})
    return value
