"""Pieces of SQL with the values bound in them.

https://www.psycopg.org/psycopg3/docs/basic/params.html
"""

from dataclasses import dataclass

from terminology.ecl.cursor import CostlyEcl

MOST_TEXT = 150_000
"""Characters of one statement: PostgreSQL plans larger ones slowly."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """SQL with a `%s` for each of the values, in their order."""

    text: str
    values: tuple[object, ...] = ()


def sql(template: str, *parts: object) -> Fragment:
    """The template with a part for each `{}`: a fragment as it is, anything else as a value.

    CostlyEcl when it becomes too long.
    """
    texts: list[str] = []
    values: list[object] = []
    for part in parts:
        if isinstance(part, Fragment):
            texts.append(part.text)
            values += part.values
        else:
            texts.append("%s")
            values.append(part)
    text = template.format(*texts)
    if len(text) > MOST_TEXT:
        raise CostlyEcl("the expression asks for too many things at once")
    return Fragment(text, tuple(values))


def joined(separator: str, parts: list[Fragment]) -> Fragment:
    """The parts one after the other, a separator between them."""
    return sql(separator.join("{}" for _ in parts), *parts)
