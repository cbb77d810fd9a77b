"""As of when resources are that HL7 messages wrote, and links that wait for their target.

Revision 0010, after 0009.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("hl7_report", sa.Column("event_time", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "hl7_report", sa.Column("later", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.create_table(
        "hl7_applied",
        sa.Column("resource", sa.Text(collation="C"), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("hl7_applied_pk")),
    )
    op.create_table(
        "hl7_pending_link",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("element", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("tokens", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("inverse", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("hl7_pending_link_pk")),
    )
    op.create_index(
        "hl7_pending_link_once_ix",
        "hl7_pending_link",
        ["source", "element", "tokens"],
        unique=True,
    )
    op.create_index(
        "hl7_pending_link_tokens_ix", "hl7_pending_link", ["tokens"], postgresql_using="gin"
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("hl7_pending_link")
    op.drop_table("hl7_applied")
    op.drop_column("hl7_report", "later")
    op.drop_column("hl7_report", "event_time")
