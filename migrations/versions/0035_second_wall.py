"""Second wall inside a tenant.

Revision 0035, after 0034. Row policies on bodies: everyone who was granted the table sees its
rows, but for readers (fhir_server/second_wall.py).
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0035"
down_revision: str | Sequence[str] | None = "0034"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute("ALTER TABLE body ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY everyone ON body USING (true) WITH CHECK (true)")


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("DROP POLICY IF EXISTS second_wall_1 ON body")
    op.execute("DROP POLICY everyone ON body")
    op.execute("ALTER TABLE body DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
