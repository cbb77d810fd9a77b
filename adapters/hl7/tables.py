"""The tables of the HL7 v2 inbox.

`hl7_message` holds every message as it came, with its acknowledgement and what
became of it; `hl7_report` remembers whose a report is, `hl7_installation` (one row)
how the systems and keys made here begin. docs/decisions/0006 has the reasons.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
    }
)

hl7_message = Table(
    "hl7_message",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("channel", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("raw", LargeBinary, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("content_sha256", LargeBinary),
    Column("control_id", Text),
    Column("type", Text),
    Column("event", Text),
    Column("version", Text),
    Column("charset", Text),
    Column("processing_id", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt", DateTime(timezone=True)),
    Column("partition_keys", ARRAY(Text), nullable=False),
    Column("ack_mode", Text, nullable=False),
    Column("ack", LargeBinary),
    Column("app_ack", LargeBinary),
    Column("app_ack_sent_at", DateTime(timezone=True)),
    Column("event_time", DateTime(timezone=True)),
    Column("result_versions", JSONB),
    Column("unmapped", JSONB),
    Column("warnings", JSONB),
    Column("batch_id", BigInteger),
    Column("profile", Text),
    Column("map_version", Text),
    Column("replays", JSONB),
    Column("finished_at", DateTime(timezone=True)),
    # Framing leftovers have no control id: they are never taken for duplicates.
    Index("hl7_message_once_ix", "channel", "control_id", "sha256", unique=True),
    Index("hl7_message_stored_ix", "id", postgresql_where=text("state = 'stored'")),
    Index("hl7_message_state_ix", "state", "reason", "id"),
    Index("hl7_message_received_ix", "received_at"),
)

hl7_report = Table(
    "hl7_report",
    metadata,
    Column("key", Text(collation="C"), primary_key=True),
    Column("patient_id", Text, nullable=False),
    Column("message_id", BigInteger, nullable=False),
)

hl7_installation = Table(
    "hl7_installation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("uri_base", Text, nullable=False),
)
