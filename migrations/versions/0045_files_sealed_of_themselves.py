"""Files that are sealed of themselves.

Revision 0045, after 0044.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0045"
down_revision: str | Sequence[str] | None = "0044"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = "data_key_rotation"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column(TABLE, sa.Column("sealed", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column(TABLE, sa.Column("stores", sa.SmallInteger, nullable=False, server_default="1"))


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_column(TABLE, "stores")
    op.drop_column(TABLE, "sealed")
