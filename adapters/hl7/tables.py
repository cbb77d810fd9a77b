"""The tables of the HL7 v2 inbox.

`hl7_message` holds every message as it came, with its acknowledgement and what
became of it; `hl7_report` remembers whose a report is, `hl7_installation` (one row)
how the systems and keys made here begin. docs/decisions/0006 has the reasons.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    Uuid,
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
    Column("confirmed", Boolean, nullable=False, server_default=text("false")),
    Column("holds", Boolean, nullable=False, server_default=text("false")),
    Column("sequence", BigInteger),
    # Framing leftovers have no control id: they are never taken for duplicates.
    Index("hl7_message_once_ix", "channel", "control_id", "sha256", unique=True),
    Index("hl7_message_stored_ix", "id", postgresql_where=text("state = 'stored'")),
    Index("hl7_message_state_ix", "state", "reason", "id"),
    Index("hl7_message_received_ix", "received_at"),
    Index("hl7_message_sender_ix", "sender", "id"),
    Index(
        "hl7_message_sequence_ix",
        *("channel", "sender", "id"),
        postgresql_where=text("sequence IS NOT NULL"),
    ),
    Index(
        "hl7_message_owed_ix",
        *("channel", "sender"),
        postgresql_where=text(
            "ack_mode = 'enhanced' AND app_ack_sent_at IS NULL "
            "AND (app_ack IS NOT NULL OR state = 'stored')"
        ),
    ),
    Index(
        "hl7_message_batch_id_ix",
        "batch_id",
        postgresql_where=text("batch_id IS NOT NULL"),
    ),
    Index("hl7_message_holds_ix", "id", postgresql_where=text("holds")),
)

# What an operator wants of a channel (`stopped`), and what its listener last said of it.
hl7_channel = Table(
    "hl7_channel",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stopped", Boolean, nullable=False, server_default=text("false")),
    Column("stopped_by", Text),
    Column("stopped_at", DateTime(timezone=True)),
    Column("state", Text),
    Column("port", Integer),
    Column("detail", Text),
    Column("seen_at", DateTime(timezone=True)),
)

hl7_report = Table(
    "hl7_report",
    metadata,
    Column("key", Text(collation="C"), primary_key=True),
    Column("patient_id", Text, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    # As of when its results are, and those of them that later messages told of, by reference.
    Column("event_time", DateTime(timezone=True)),
    Column("later", JSONB),
)

# As of when a resource is that is no part of a report (`Patient/1`), and the elements that a
# message deleted (`""`) and none has said since.
hl7_applied = Table(
    "hl7_applied",
    metadata,
    Column("resource", Text(collation="C"), primary_key=True),
    Column("event_time", DateTime(timezone=True), nullable=False),
    Column("cleared", JSONB),
)

# References to what is not there yet; `tokens` are `Type?system|value`.
hl7_pending_link = Table(
    "hl7_pending_link",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text(collation="C"), nullable=False),
    Column("element", Text(collation="C"), nullable=False),
    Column("type", Text, nullable=False),
    Column("tokens", ARRAY(Text), nullable=False),
    Column("inverse", Boolean, nullable=False),
    Index("hl7_pending_link_once_ix", "source", "element", "tokens", unique=True),
    Index("hl7_pending_link_tokens_ix", "tokens", postgresql_using="gin"),
)

# The name under which a partition goes since its patient was merged.
hl7_alias = Table(
    "hl7_alias",
    metadata,
    Column("key", Text(collation="C"), primary_key=True),
    Column("name", Text(collation="C"), nullable=False),
    Index("hl7_alias_name_ix", "name"),
)

# What a merge did; `versions` are those that it wrote, the retired one's first.
hl7_merge = Table(
    "hl7_merge",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("message_id", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("survivor", Text(collation="C"), nullable=False),
    Column("retired", Text(collation="C"), nullable=False),
    Column("versions", JSONB, nullable=False),
    Column("keys", ARRAY(Text), nullable=False),
    Column("old_keys", ARRAY(Text), nullable=False),
    Column("merged_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("undone", JSONB),
    Index("hl7_merge_message_id_ix", "message_id"),
)

# What was raised for a critical result, by the id of its Observation.
hl7_critical = Table(
    "hl7_critical",
    metadata,
    Column("observation_id", Text(collation="C"), primary_key=True),
    Column("level", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("flag_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("task_id", Text),
    Column("recipient", Text),
    Column("raised_at", DateTime(timezone=True), nullable=False),
    Column("escalated_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Index("hl7_critical_open_ix", "raised_at", postgresql_where=text("state = 'open'")),
    Index(
        "hl7_critical_due_ix",
        "raised_at",
        postgresql_where=text("state = 'open' AND task_id IS NULL"),
    ),
    Index("hl7_critical_request_ix", "request_id", postgresql_where=text("state = 'open'")),
)

hl7_installation = Table(
    "hl7_installation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("uri_base", Text, nullable=False),
)

# Each profile that ever served, so that the fingerprint in a message's row leads to its text.
hl7_profile = Table(
    "hl7_profile",
    metadata,
    Column("name", Text(collation="C"), nullable=False, primary_key=True),
    Column("fingerprint", Text(collation="C"), nullable=False, primary_key=True),
    Column("version", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("served_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What serves now of each file, and what is wrong with it.
hl7_profile_state = Table(
    "hl7_profile_state",
    metadata,
    Column("name", Text(collation="C"), primary_key=True),
    Column("fingerprint", Text(collation="C")),
    Column("problems", JSONB, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Local codes and units that had no translation when they came, and what they were found to
# mean; `told` is the count that the Task tells.
hl7_code = Table(
    "hl7_code",
    metadata,
    Column("sender", Text(collation="C"), nullable=False, primary_key=True),
    Column("system", Text(collation="C"), nullable=False, primary_key=True),
    Column("code", Text(collation="C"), nullable=False, primary_key=True),
    Column("fields", ARRAY(Text), nullable=False),
    Column("display", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("told", BigInteger, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="open"),
    Column("first_message", BigInteger, nullable=False),
    Column("last_message", BigInteger, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("task_id", Text),
    Column("target", JSONB),
    Index("hl7_code_state_ix", "state"),
)

# The frames of ASTM sessions that have not ended: acknowledged, and not yet a message.
hl7_astm_frame = Table(
    "hl7_astm_frame",
    metadata,
    Column("session", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("channel", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("text", LargeBinary, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Orders that analyzers are sent without asking: one row for each order, and its cancellation.
hl7_astm_order = Table(
    "hl7_astm_order",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("sender", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("records", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt", DateTime(timezone=True)),
    Column("detail", Text),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    Index("hl7_astm_order_once_ix", "sender", "reference", "action", unique=True),
    Index("hl7_astm_order_queued_ix", "sender", "id", postgresql_where=text("state = 'queued'")),
)

# Messages to other systems: each with its bytes and control id, which a resend has too.
# `keys` are the patients whose messages keep their order; `noted`: its reply was read by law/.
hl7_outbound = Table(
    "hl7_outbound",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("destination", Text(collation="C"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("control_id", Text(collation="C"), nullable=False),
    Column("keys", ARRAY(Text), nullable=False),
    Column("reference", Text(collation="C"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("content_sha256", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("via", Text, nullable=False, server_default="own"),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt", DateTime(timezone=True)),
    Column("detail", Text),
    Column("reply", LargeBinary),
    Column("noted", Boolean, nullable=False, server_default=text("false")),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("sent_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Index("hl7_outbound_control_ix", "destination", "control_id", unique=True),
    Index("hl7_outbound_queued_ix", "destination", "id", postgresql_where=text("state = 'queued'")),
    Index("hl7_outbound_reference_ix", "destination", "reference", "id"),
    Index("hl7_outbound_state_ix", "state", "id"),
)

# Work that an analyzer was given (IHE LAW): an order's test on a specimen. The id is told to
# the analyzer, and never used again.
hl7_awos = Table(
    "hl7_awos",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("analyzer", Text(collation="C"), nullable=False),
    Column("request", Text(collation="C"), nullable=False),
    Column("specimen", Text(collation="C"), nullable=False),
    Column("code", Text(collation="C"), nullable=False),
    Column("task_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("outbound_id", BigInteger),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(
        "hl7_awos_open_ix",
        *("analyzer", "request", "specimen", "code"),
        unique=True,
        postgresql_where=text("state IN ('requested', 'accepted', 'in-progress')"),
    ),
    Index("hl7_awos_request_ix", "request"),
)
