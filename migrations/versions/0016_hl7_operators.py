"""HL7 v2: operators.

Revision 0016, after 0015.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index("hl7_message_sender_ix", "hl7_message", ["sender", "id"])


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_index("hl7_message_sender_ix", table_name="hl7_message")
