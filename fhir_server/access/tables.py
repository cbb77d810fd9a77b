"""The tables of roles and of emergency access."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={"ix": "%(table_name)s_%(column_0_N_name)s_ix", "pk": "%(table_name)s_pk"}
)

_NAME = Text(collation="C")

# Roles that the tenant changed: the row of the highest version counts. `definition` is a role
# (role_table.py) as JSON; NULL: as it is shipped, or none of that name.
role = Table(
    "role",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("definition", JSONB(none_as_null=True)),
    Column("changed_by", Text, nullable=False),
    Column(
        "changed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
)

# Openings of a patient's record by `actor`, a reference: `reason` is a code, `words` what was
# written. It is open while a row of `idx_care` has this key; `notice` is the id of the
# CommunicationRequest. `signed_by` has reviewed it.
break_glass = Table(
    "break_glass",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("actor", _NAME, nullable=False),
    Column("patient", _NAME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("client", Text),
    Column("session", Text),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("notice", _NAME),
    Column("signed_by", Text),
    Column("signed_at", DateTime(timezone=True)),
    Index("break_glass_actor_ix", "actor", "until"),
    Index("break_glass_unsigned_ix", "opened_at", postgresql_where=text("signed_at IS NULL")),
)
