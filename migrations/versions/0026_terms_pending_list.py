"""A short pending list of the terms: what is written together is merged together.

Revision 0026, after 0025; docs/decisions/0045.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0026"
down_revision: str | Sequence[str] | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute(
        "ALTER INDEX terms_terms_ix SET (fastupdate = on, gin_pending_list_limit = 128)",
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("ALTER INDEX terms_terms_ix RESET (gin_pending_list_limit)")
    op.execute("ALTER INDEX terms_terms_ix SET (fastupdate = off)")
    op.execute("SELECT gin_clean_pending_list('terms_terms_ix')")
