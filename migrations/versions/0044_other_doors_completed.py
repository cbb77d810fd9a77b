"""Whether a DICOM peer elsewhere may be called without TLS: none may until somebody says so.

Revision 0044, after 0043.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0044"
down_revision: str | Sequence[str] | None = "0043"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute("ALTER TABLE dicom_peer ADD COLUMN plain boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("ALTER TABLE dicom_peer DROP COLUMN plain")
