"""Care relationships and the roles of a site.

Revision 0027, after 0026.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0027"
down_revision: str | Sequence[str] | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAME = sa.Text(collation="C")
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "idx_care",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("patient", _NAME, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
    )
    op.create_index("idx_care_key_ix", "idx_care", ["key"])
    op.create_index("idx_care_actor_ix", "idx_care", ["actor", "high", "low", "kind", "patient"])
    op.create_index("idx_care_patient_ix", "idx_care", ["patient", "actor", "high"])
    op.create_table(
        "role",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB()),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("role_pk")),
    )
    op.create_table(
        "break_glass",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("actor", _NAME, nullable=False),
        sa.Column("patient", _NAME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("client", sa.Text()),
        sa.Column("session", sa.Text()),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("notice", _NAME),
        sa.Column("signed_by", sa.Text()),
        sa.Column("signed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("key", name=op.f("break_glass_pk")),
    )
    op.create_index("break_glass_actor_ix", "break_glass", ["actor", "until"])
    op.create_index(
        "break_glass_unsigned_ix",
        "break_glass",
        ["opened_at"],
        postgresql_where=sa.text("signed_at IS NULL"),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for name in ("break_glass", "role", "idx_care"):
        op.drop_table(name)
