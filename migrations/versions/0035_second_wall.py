"""Second wall inside a tenant.

Revision 0035, after 0034.
"""

from collections.abc import Sequence

revision: str = "0035"
down_revision: str | Sequence[str] | None = "0034"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
