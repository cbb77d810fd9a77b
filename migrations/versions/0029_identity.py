"""Users, clients, sessions and grants.

Revision 0029, after 0028.
"""

from collections.abc import Sequence

revision: str = "0029"
down_revision: str | Sequence[str] | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""


def downgrade() -> None:
    """Bring the schema back to the revision before."""
