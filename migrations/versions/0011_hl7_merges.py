"""HL7 v2: merges.

Revision 0011, after 0010.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name in ("confirmed", "holds"):
        said = sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)
        op.add_column("hl7_message", said)
    op.create_index(
        "hl7_message_holds_ix", "hl7_message", ["id"], postgresql_where=sa.text("holds")
    )
    op.create_table(
        "hl7_alias",
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("hl7_alias_pk")),
    )
    op.create_index("hl7_alias_name_ix", "hl7_alias", ["name"])
    op.create_table(
        "hl7_merge",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("survivor", sa.Text(collation="C"), nullable=False),
        sa.Column("retired", sa.Text(collation="C"), nullable=False),
        sa.Column("versions", postgresql.JSONB(), nullable=False),
        sa.Column("keys", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("old_keys", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "merged_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("undone", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("hl7_merge_pk")),
    )
    op.create_index("hl7_merge_message_id_ix", "hl7_merge", ["message_id"])


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("hl7_merge")
    op.drop_table("hl7_alias")
    op.drop_index("hl7_message_holds_ix", table_name="hl7_message")
    op.drop_column("hl7_message", "holds")
    op.drop_column("hl7_message", "confirmed")
