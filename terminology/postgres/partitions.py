"""The partitions of one release: made empty, attached when filled, dropped whole.

https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier, Literal

from terminology.postgres.tables import PARTITIONED, SCHEMA

Connection = AsyncConnection[Any]


def partition(table: str, cs_id: int) -> Identifier:
    """The partition of a table, such as `tx.concept_7`."""
    return Identifier(SCHEMA, f"{table}_{cs_id}")


async def create_partitions(connection: Connection, cs_id: int) -> None:
    """Make the tables of a release, to COPY into; they have no index and are not attached."""
    for table in PARTITIONED:
        await connection.execute(
            SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS, CHECK (cs_id = {}))").format(
                partition(table, cs_id), Identifier(SCHEMA, table), Literal(cs_id)
            )
        )


async def attach_partition(connection: Connection, table: str, cs_id: int) -> None:
    """Index, analyse and attach one table of a release; the CHECK saves a scan."""
    for statement in _attach(table, cs_id):
        await connection.execute(statement)


def _attach(table: str, cs_id: int) -> list[Composed]:
    own, whole, number = partition(table, cs_id), Identifier(SCHEMA, table), Literal(cs_id)
    words = SQL(
        "CREATE INDEX ON {} USING gin (array_to_tsvector(string_to_array(words, ' ')))"
        " WITH (fastupdate = off)"
    ).format(own)
    return [
        SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(whole, own, number),
        *([words] if table == "search_text" else []),
        SQL("ANALYZE {}").format(own),
    ]


async def drop_partitions(connection: Connection, cs_id: int) -> None:
    """Remove the tables of a release, attached or not, and its row."""
    for table in PARTITIONED:
        await connection.execute(SQL("DROP TABLE IF EXISTS {}").format(partition(table, cs_id)))
    await connection.execute("DELETE FROM tx.code_system WHERE id = %s", [cs_id])
