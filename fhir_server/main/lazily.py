"""A group whose commands are known by name and purpose, and imported when one is carried out.

https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from fhir_server.main.late import found

MARKUP: Final = "markdown"
"""How help texts are written."""

_PLACED: Final = "fhir_server.main.placed:Placed"


@dataclass(frozen=True, slots=True)
class Known:
    """A command: `module:name` of its function or group, and what it is for.

    The commands of a `placed` group take --data-dir, --database-url and --tenant.
    """

    place: str
    help: str
    kind: Literal["command", "group", "placed"] = "command"


class Lazily(TyperGroup):
    """A group of known commands: subclasses say `known`."""

    known: Mapping[str, Known]

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401  (typer's own)
        super().__init__(**settings)
        self.commands: Any = _Commands(self.known)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  (click's signature)
        """Return the names, in the order in which they are known."""
        return list(self.known)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  (click's signature)
        """Return what stands for a command until it is carried out; None when it is not known."""
        one = self.known.get(cmd_name)
        return None if one is None else _Named(cmd_name, one)


class _Commands(Mapping[str, Any]):
    """The commands themselves, each imported when it is looked at."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._known = known

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  (click's own)
        return _command(name, self._known[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Named(TyperCommand):
    """A command as the list of commands shows it."""

    def __init__(self, name: str, known: Known) -> None:
        super().__init__(name, help=known.help)
        self._known = known

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Any = None,  # noqa: ANN401  (click's own)
        **extra: Any,  # noqa: ANN401  (click's signature)
    ) -> Any:  # noqa: ANN401  (click's own)
        """Return the context of the command itself, which carries it out."""
        assert self.name is not None
        own = _command(self.name, self._known)
        return own.make_context(info_name, args, parent=parent, **extra)


@cache
def _command(name: str, known: Known) -> Any:  # noqa: ANN401  (click's own)
    """Return a command, as typer makes it of a function or of an app."""
    whole = typer.Typer(
        add_completion=False, rich_markup_mode=MARKUP, pretty_exceptions_show_locals=False
    )
    if known.kind == "command":
        whole.command(name)(found(known.place))
        return get_command(whole)
    cls = found(_PLACED) if known.kind == "placed" else TyperGroup
    whole.add_typer(found(known.place), name=name, cls=cls)
    made: Any = get_command(whole)
    return made.commands[name]
