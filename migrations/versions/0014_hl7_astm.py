"""HL7 v2: frames of open ASTM sessions, and orders on their way to analyzers.

Revision 0014, after 0013.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "hl7_astm_frame",
        sa.Column("session", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("received_at", moment, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("session", "number", name="hl7_astm_frame_pk"),
    )
    op.create_table(
        "hl7_astm_order",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("records", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_attempt", moment),
        sa.Column("detail", sa.Text()),
        sa.Column("queued_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", moment),
        sa.PrimaryKeyConstraint("id", name="hl7_astm_order_pk"),
    )
    op.create_index(
        "hl7_astm_order_once_ix", "hl7_astm_order", ["sender", "reference", "action"], unique=True
    )
    op.create_index(
        "hl7_astm_order_queued_ix",
        "hl7_astm_order",
        ["sender", "id"],
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "hl7_astm_feed",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("feed_xid", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="hl7_astm_feed_pk"),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("hl7_astm_feed")
    op.drop_table("hl7_astm_order")
    op.drop_table("hl7_astm_frame")
