"""Readers of the change feed, what critical results are found by, and what messages deleted.

Revision 0022, after 0021.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from fhir_server.tables import Xid8

revision: str = "0022"
down_revision: str | Sequence[str] | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD = {
    "hl7_astm_feed": "hl7.astm",
    "hl7_code_feed": "hl7.codes",
    "hl7_law_feed": "hl7.law",
    "hl7_outbound_feed": "hl7.outbound",
}


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "feed_reader",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("feed_xid", Xid8(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column(
            "moved_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("feed_reader_pk")),
    )
    for table, name in _OLD.items():
        op.execute(
            "INSERT INTO feed_reader (name, feed_xid, position)"
            f" SELECT '{name}', feed_xid::text::xid8, position FROM {table}"
        )
        op.drop_table(table)
    op.add_column("hl7_applied", sa.Column("cleared", JSONB(), nullable=True))
    op.create_index(
        "hl7_critical_due_ix",
        "hl7_critical",
        ["raised_at"],
        postgresql_where=sa.text("state = 'open' AND task_id IS NULL"),
    )
    op.create_index(
        "hl7_critical_request_ix",
        "hl7_critical",
        ["request_id"],
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_index("hl7_critical_request_ix", "hl7_critical")
    op.drop_index("hl7_critical_due_ix", "hl7_critical")
    op.drop_column("hl7_applied", "cleared")
    for table, name in _OLD.items():
        op.create_table(
            table,
            sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
            sa.Column("feed_xid", sa.BigInteger(), nullable=False),
            sa.Column("position", sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("id", name=f"{table}_pk"),
        )
        op.execute(
            f"INSERT INTO {table} (id, feed_xid, position)"
            f" SELECT 1, feed_xid::text::bigint, position FROM feed_reader WHERE name = '{name}'"
        )
    op.drop_table("feed_reader")
