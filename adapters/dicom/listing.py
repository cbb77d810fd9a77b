"""Tables on the command line, whose cells are whole."""

from typing import Final

from rich.console import Console
from rich.table import Table

_ANY_WIDTH: Final = 100_000


def print_table(table: Table) -> None:
    """Print a table: in a terminal long cells go on in the next line, elsewhere none is broken.

    A UID that is cut could be given to no other command.
    """
    for column in table.columns:
        column.overflow = "fold"
    console = Console(markup=False)
    if not console.is_terminal:
        console.width = max(console.width, _ANY_WIDTH)
    console.print(table)
