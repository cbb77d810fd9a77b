"""The tables of data keys, and of how far files are sealed under the present one."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)

from fhir_server import tables

metadata = MetaData(naming_convention=tables.metadata.naming_convention)

# `wrapped` is the key under the master key (at_rest/master.py). One is `current`; the others
# open what they sealed, until nothing is left of it.
data_key = Table(
    "data_key",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("retired_at", DateTime(timezone=True)),
    Index("data_key_current_ix", "current", unique=True, postgresql_where=text('"current"')),
)

# `plain`: files that are not sealed are believed. The rest is of the last rotation: `place` is
# behind which it goes on in one of so many `stores`, `seen`, `renewed` and `failed` count files of
# this pass, `sealed` those sealed anew since it began.
data_key_rotation = Table(
    "data_key_rotation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("plain", Boolean, nullable=False),
    Column("place", Text, nullable=False, server_default=""),
    Column("pass", Integer, nullable=False, server_default="0"),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("renewed", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("began_at", DateTime(timezone=True)),
    Column("pass_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("sealed", BigInteger, nullable=False, server_default="0"),
    Column("stores", SmallInteger, nullable=False, server_default="1"),
)
