"""Tenants.

Revision 0032, after 0031.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision: str = "0032"
down_revision: str | Sequence[str] | None = "0031"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision; a tenant knows of no tenants."""
    if context.config.attributes.get("tenant"):
        return
    op.execute("CREATE SCHEMA tenancy")
    op.create_table(
        "tenant",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="creating", nullable=False),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        sa.Column("max_resources", sa.BigInteger(), nullable=True),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.CheckConstraint(
            "state IN ('creating', 'active', 'suspended', 'erasing')", name="tenant_state_ck"
        ),
        sa.PrimaryKeyConstraint("name", name="tenant_pk"),
        sa.UniqueConstraint("role", name="tenant_role_key"),
        sa.UniqueConstraint("schema", name="tenant_schema_key"),
        schema="tenancy",
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    if context.config.attributes.get("tenant"):
        return
    op.drop_table("tenant", schema="tenancy")
    op.execute("DROP SCHEMA tenancy")
