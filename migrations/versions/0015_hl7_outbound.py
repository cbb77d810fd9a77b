"""HL7 v2: messages to other systems, and work for analyzers.

Revision 0015, after 0014.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    moment = sa.DateTime(timezone=True)
    _outbound(moment)
    _awos(moment)
    for name in ("hl7_outbound_feed", "hl7_law_feed"):
        op.create_table(
            name,
            sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
            sa.Column("feed_xid", sa.BigInteger(), nullable=False),
            sa.Column("position", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"{name}_pk"),
        )


def _outbound(moment: sa.DateTime) -> None:
    op.create_table(
        "hl7_outbound",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("destination", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("control_id", sa.Text(collation="C"), nullable=False),
        sa.Column("keys", ARRAY(sa.Text()), nullable=False),
        sa.Column("reference", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False, server_default="own"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_attempt", moment),
        sa.Column("detail", sa.Text()),
        sa.Column("reply", sa.LargeBinary()),
        sa.Column("noted", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("queued_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", moment),
        sa.Column("finished_at", moment),
        sa.PrimaryKeyConstraint("id", name="hl7_outbound_pk"),
    )
    op.create_index(
        "hl7_outbound_control_ix", "hl7_outbound", ["destination", "control_id"], unique=True
    )
    op.create_index(
        "hl7_outbound_queued_ix",
        "hl7_outbound",
        ["destination", "id"],
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("hl7_outbound_reference_ix", "hl7_outbound", ["destination", "reference", "id"])
    op.create_index("hl7_outbound_state_ix", "hl7_outbound", ["state", "id"])


def _awos(moment: sa.DateTime) -> None:
    op.create_table(
        "hl7_awos",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("analyzer", sa.Text(collation="C"), nullable=False),
        sa.Column("request", sa.Text(collation="C"), nullable=False),
        sa.Column("specimen", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outbound_id", sa.BigInteger()),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("changed_at", moment, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="hl7_awos_pk"),
    )
    op.create_index(
        "hl7_awos_open_ix",
        "hl7_awos",
        ["analyzer", "request", "specimen", "code"],
        unique=True,
        postgresql_where=sa.text("state IN ('requested', 'accepted', 'in-progress')"),
    )
    op.create_index("hl7_awos_request_ix", "hl7_awos", ["request"])


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for name in ("hl7_law_feed", "hl7_outbound_feed", "hl7_awos", "hl7_outbound"):
        op.drop_table(name)
