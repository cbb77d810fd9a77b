"""Audit of reads: a row of `audit_record` holds the records of one commit.

Revision 0033, after 0032.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0033"
down_revision: str | Sequence[str] | None = "0032"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    # What is written once and read once need not lie in a table of its own, with an index.
    op.execute("ALTER TABLE audit_record ALTER COLUMN said SET STORAGE MAIN")


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("ALTER TABLE audit_record ALTER COLUMN said SET STORAGE EXTENDED")
