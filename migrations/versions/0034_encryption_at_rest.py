"""Encryption at rest: data keys, and how far a rotation is.

Revision 0034, after 0033.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0034"
down_revision: str | Sequence[str] | None = "0033"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COUNTS = ("seen", "renewed", "failed")
_TIMES = ("began_at", "pass_at", "ended_at")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "data_key",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column(
            "made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("data_key_pk")),
    )
    op.create_index(
        "data_key_current_ix",
        "data_key",
        ["current"],
        unique=True,
        postgresql_where=sa.text('"current"'),
    )
    op.create_table(
        "data_key_rotation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("plain", sa.Boolean(), nullable=False),
        sa.Column("place", sa.Text(), server_default="", nullable=False),
        sa.Column("pass", sa.Integer(), server_default="0", nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in _TIMES),
        sa.PrimaryKeyConstraint("id", name=op.f("data_key_rotation_pk")),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before; what was sealed cannot be read then."""
    op.drop_table("data_key_rotation")
    op.drop_table("data_key")
