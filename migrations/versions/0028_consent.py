"""Consents as rows that searches read.

Revision 0028, after 0027.
"""

from collections.abc import Sequence

revision: str = "0028"
down_revision: str | Sequence[str] | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""


def downgrade() -> None:
    """Bring the schema back to the revision before."""
