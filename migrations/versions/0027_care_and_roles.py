"""Care relationships and the roles of a site.

Revision 0027, after 0026.
"""

from collections.abc import Sequence

revision: str = "0027"
down_revision: str | Sequence[str] | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""


def downgrade() -> None:
    """Bring the schema back to the revision before."""
