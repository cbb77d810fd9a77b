"""What is asked of one resource at a time, as SQL that the planner neither joins nor begins with.

https://www.postgresql.org/docs/current/indexes-multicolumn.html
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, SmallInteger, func, literal_column, select

Clause = ColumnElement[bool]
Columns = Any

_TRUE, _FALSE = literal_column("true", Boolean()), literal_column("false", Boolean())
_NOTHING: ColumnElement[int] = literal_column("0", SmallInteger())
_ONE: ColumnElement[int] = literal_column("1", SmallInteger())


def is_there(*where: Clause) -> Clause:
    """Return whether there is such a row.

    As an EXISTS the planner may join it, and begin with all rows that there are.
    """
    found = select(_TRUE).where(*where).limit(_ONE).scalar_subquery()
    there: Clause = func.coalesce(found, _FALSE)
    return there


def of_source(
    edge: Columns, source: ColumnElement[int], param: Clause, target: ColumnElement[int]
) -> tuple[Clause, ...]:
    """Return which references are those of a source by a parameter to a type.

    The type is not for an index: without statistics PostgreSQL 18 skips through that of targets
    in place of the source's.
    """
    return edge.c.source_key == source, param, edge.c.target_type + _NOTHING == target
