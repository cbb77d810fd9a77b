"""Tenants that are brought in by an import.

Revision 0042, after 0041.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision: str = "0042"
down_revision: str | Sequence[str] | None = "0041"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


_BEFORE = "state IN ('creating', 'active', 'suspended', 'erasing')"
_NOW = "state IN ('creating', 'importing', 'active', 'suspended', 'erasing')"


def upgrade() -> None:
    """Bring the schema to this revision; a tenant knows of no tenants."""
    if context.config.attributes.get("tenant"):
        return
    former = sa.Column("former", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False)
    op.add_column("tenant", former, schema="tenancy")
    _limit(_NOW)


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    if context.config.attributes.get("tenant"):
        return
    op.drop_column("tenant", "former", schema="tenancy")
    _limit(_BEFORE)


def _limit(states: str) -> None:
    op.drop_constraint("tenant_state_ck", "tenant", schema="tenancy", type_="check")
    op.create_check_constraint("tenant_state_ck", "tenant", states, schema="tenancy")
