"""The tables of audit and erasure.

`audit_record` takes what happened until it is an AuditEvent, `audit_link` chains the
AuditEvents, `erasure` holds who asked for whose erasure, `erased` what must not come back.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)

from fhir_server.tables import Xid8

SLOTS = 16
"""Days in the ring of partitions; a day's number modulo this is its slot."""

SLOT = f"(((EXTRACT(epoch FROM now()) / 86400::numeric)::bigint % {SLOTS}::bigint))::smallint"
"""The slot of the present day, as SQL that reads as PostgreSQL writes it."""

metadata = MetaData(
    naming_convention={"ix": "%(table_name)s_%(column_0_N_name)s_ix", "pk": "%(table_name)s_pk"}
)

audit_position = Sequence("audit_position", metadata=metadata)

# A ring of days: whole partitions are emptied, and none can be missing at midnight. `said` are
# the records of one commit, a line each (record.py); (feed_xid, position) is their place, as in
# the change feed.
audit_record = Table(
    "audit_record",
    metadata,
    Column("slot", SmallInteger, nullable=False, server_default=text(SLOT)),
    Column("feed_xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("position", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("said", Text, nullable=False),
    Index("audit_record_place_ix", "feed_xid", "position"),
    postgresql_partition_by="LIST (slot)",
)

# `event` is the digest of the AuditEvent, `chain` that of the link before and of this one.
# `erased`: the event was written anew because its patient was erased.
audit_link = Table(
    "audit_link",
    metadata,
    Column("day", Date, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("erased", Boolean, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Index("audit_link_key_ix", "key"),
)

# The end of each day's chain; `seal` is a digest under the key of the installation.
audit_head = Table(
    "audit_head",
    metadata,
    Column("day", Date, primary_key=True),
    Column("links", Integer, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)

# A request to erase a patient: asked -> approved -> done, or withdrawn. When it is done,
# `patient` is empty, as the ledger holds only digests.
erasure = Table(
    "erasure",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("patient", Text(collation="C"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="asked"),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("approved_by", Text),
    Column("done_at", DateTime(timezone=True)),
    Column("report", Text),
    Index(
        "erasure_open_ix",
        "patient",
        unique=True,
        postgresql_where=text("state IN ('asked', 'approved')"),
    ),
)

# Keyed digests of the type and id of what was erased, by which it is known when a backup
# brings it back.
erased = Table(
    "erased",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Patients who must not be erased, with the reason.
legal_hold = Table(
    "legal_hold",
    metadata,
    Column("patient", Text(collation="C"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("held_by", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

PARTITIONS = tuple(f"{audit_record.name}_{slot}" for slot in range(SLOTS))
