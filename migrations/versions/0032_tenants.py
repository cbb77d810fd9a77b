"""Tenants.

Revision 0032, after 0031.
"""

from collections.abc import Sequence

revision: str = "0032"
down_revision: str | Sequence[str] | None = "0031"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""


def downgrade() -> None:
    """Bring the schema back to the revision before."""
