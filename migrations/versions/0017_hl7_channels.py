"""HL7 v2: channels.

Revision 0017, after 0016.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OWED = (
    "ack_mode = 'enhanced' AND app_ack_sent_at IS NULL "
    "AND (app_ack IS NOT NULL OR state = 'stored')"
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("hl7_message", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.create_index(
        "hl7_message_sequence_ix",
        "hl7_message",
        ["channel", "sender", "id"],
        postgresql_where=sa.text("sequence IS NOT NULL"),
    )
    op.create_index(
        "hl7_message_owed_ix",
        "hl7_message",
        ["channel", "sender"],
        postgresql_where=sa.text(_OWED),
    )
    op.create_index(
        "hl7_message_batch_id_ix",
        "hl7_message",
        ["batch_id"],
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_table(
        "hl7_channel",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("stopped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("stopped_by", sa.Text(), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("hl7_channel_pk")),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("hl7_channel")
    op.drop_index("hl7_message_batch_id_ix", table_name="hl7_message")
    op.drop_index("hl7_message_owed_ix", table_name="hl7_message")
    op.drop_index("hl7_message_sequence_ix", table_name="hl7_message")
    op.drop_column("hl7_message", "sequence")
