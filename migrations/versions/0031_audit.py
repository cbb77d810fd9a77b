"""What is to become AuditEvents, the chain of their hashes, and erasure.

Revision 0031, after 0030.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from fhir_server.tables import Xid8

revision: str = "0031"
down_revision: str | Sequence[str] | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SLOTS = 16
_SLOT = "(((EXTRACT(epoch FROM now()) / 86400::numeric)::bigint % 16::bigint))::smallint"
_NOW = sa.text("now()")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute("CREATE SEQUENCE audit_position")
    op.create_table(
        "audit_record",
        sa.Column("slot", sa.SmallInteger(), server_default=sa.text(_SLOT), nullable=False),
        sa.Column(
            "feed_xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False
        ),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        postgresql_partition_by="LIST (slot)",
    )
    op.create_index("audit_record_place_ix", "audit_record", ["feed_xid", "position"])
    for slot in range(_SLOTS):
        op.execute(
            f"CREATE TABLE audit_record_{slot} PARTITION OF audit_record FOR VALUES IN ({slot})"
        )
    op.create_table(
        "audit_link",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "number", name=op.f("audit_link_pk")),
    )
    op.create_index("audit_link_key_ix", "audit_link", ["key"])
    op.create_table(
        "audit_head",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("links", sa.Integer(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("audit_head_pk")),
    )
    _erasure()


def _erasure() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("patient", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="asked", nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("erasure_pk")),
    )
    op.create_index(
        "erasure_open_ix",
        "erasure",
        ["patient"],
        unique=True,
        postgresql_where=sa.text("state IN ('asked', 'approved')"),
    )
    op.create_table(
        "erased",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("erased_pk")),
    )
    op.create_table(
        "legal_hold",
        sa.Column("patient", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("patient", name=op.f("legal_hold_pk")),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for table in ("legal_hold", "erased", "erasure", "audit_head", "audit_link", "audit_record"):
        op.drop_table(table)
    op.execute("DROP SEQUENCE audit_position")
