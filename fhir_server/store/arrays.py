"""PostgreSQL array literals.

One parameter per column, whatever the number of rows, keeps one prepared
statement; writing the literal here costs a tenth of the driver's list adapter,
which is Python code per element.

https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
"""

from collections.abc import Iterable, Sequence
from typing import Any


def array(values: Iterable[Any]) -> str:
    """Return the literal of numbers, texts and NULLs (None).

    Columns of one kind, which nearly all are, are written without a step for each value.
    """
    found = list(values)
    kinds = set(map(type, found))
    if kinds == {int}:
        return "{" + str(found)[1:-1] + "}"
    if kinds == {str}:
        return _texts(found)
    return "{" + ",".join(map(_element, found)) + "}"


def _texts(values: list[str]) -> str:
    joined = "\0".join(values)
    if joined.count("\0") >= len(values):
        raise ValueError("PostgreSQL's texts hold no null character")
    if "\\" in joined:
        joined = joined.replace("\\", "\\\\")
    if '"' in joined:
        joined = joined.replace('"', '\\"')
    return '{"' + joined.replace("\0", '","') + '"}'


def arrays(rows: Sequence[tuple[Any, ...]], width: int) -> list[str]:
    """Return the literals of the rows' columns; `width` is their number."""
    if not rows:
        return ["{}"] * width
    return [array(column) for column in zip(*rows, strict=True)]


def _element(value: Any) -> str:  # noqa: ANN401  (a value of any column)
    if value is None:
        return "NULL"
    if type(value) is str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
