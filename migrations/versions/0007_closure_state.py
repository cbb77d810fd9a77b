"""Closure tables, and resources sent once for many requests.

Revision 0007, after 0006.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "closure_table",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("closure_table_pk")),
    )
    op.create_index("closure_table_name_ix", "closure_table", ["name"], unique=True)
    op.create_table(
        "closure_concept",
        sa.Column("closure", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("system", sa.Text(collation="C"), nullable=False),
        sa.Column("system_version", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint(
            "closure", "system", "system_version", "code", name=op.f("closure_concept_pk")
        ),
    )
    op.create_table(
        "closure_entry",
        sa.Column("closure", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("system", sa.Text(collation="C"), nullable=False),
        sa.Column("system_version", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("target", sa.Text(collation="C"), nullable=True),
        sa.Column("equivalence", sa.Text(), nullable=False),
    )
    op.create_index("closure_entry_version_ix", "closure_entry", ["closure", "version"])
    op.create_table(
        "resource_cache",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column(
            "used", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("resource_cache_pk")),
    )
    op.create_index("resource_cache_used_ix", "resource_cache", ["used"])
