"""Of which other organisation a DICOM peer is; what two names of roles meant, in these roles.

Revision 0041, after 0040.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0041"
down_revision: str | Sequence[str] | None = "0040"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# A site's own version of these roles goes on meaning what it did by its name.
_MEANT = (("ADMIN", '{"delegates": true}'), ("BILLING_STAFF", '{"purpose": "HPAYMT"}'))
_KEEP = tuple(
    f"UPDATE role SET definition = definition || '{more}'::jsonb"
    f" WHERE name = '{name}' AND definition IS NOT NULL"
    for name, more in _MEANT
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute("ALTER TABLE dicom_peer ADD COLUMN discloses_to text")
    for statement in _KEEP:
        op.execute(statement)


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("ALTER TABLE dicom_peer DROP COLUMN discloses_to")
    op.execute("UPDATE role SET definition = definition - '{delegates,purpose}'::text[]")
