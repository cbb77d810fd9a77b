"""Reads that are to become AuditEvents, and the chain of their hashes.

Revision 0031, after 0030.
"""

from collections.abc import Sequence

revision: str = "0031"
down_revision: str | Sequence[str] | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""


def downgrade() -> None:
    """Bring the schema back to the revision before."""
