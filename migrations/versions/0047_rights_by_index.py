"""Functions of rights that go by index, though they may be planned when nothing is stored yet.

Revision 0047, after 0046.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0047"
down_revision: str | Sequence[str] | None = "0046"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_FUNCTIONS = ("cared_for", "consent_withholds", "consent_weight")


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {name} SET enable_seqscan = off")


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for name in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {name} RESET enable_seqscan")
