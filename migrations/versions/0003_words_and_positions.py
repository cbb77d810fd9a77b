"""Words and positions.

Revision 0003, after 0002.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "idx_words",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.BigInteger(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
    )
    op.create_index("idx_words_key_ix", "idx_words", ["key", "param"])
    op.create_index(
        "idx_words_words_ix",
        "idx_words",
        ["words"],
        postgresql_using="gin",
        postgresql_with={"fastupdate": "on", "gin_pending_list_limit": "2048"},
    )
    op.create_table(
        "idx_position",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("param", sa.BigInteger(), nullable=False),
        sa.Column("latitude", postgresql.DOUBLE_PRECISION(), nullable=False),
        sa.Column("longitude", postgresql.DOUBLE_PRECISION(), nullable=False),
    )
    op.create_index("idx_position_key_ix", "idx_position", ["key", "param"])
    op.create_index(
        "idx_position_latitude_ix", "idx_position", ["param", "latitude", "longitude", "key"]
    )
