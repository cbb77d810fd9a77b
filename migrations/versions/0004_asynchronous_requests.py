"""Requests answered later.

Revision 0004, after 0003.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# A database with resources was indexed under this key, and what is in it must be found again.
_FIRST_KEY = b"sangam search terms"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "installation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=True),
        sa.Column("terms_key", sa.LargeBinary(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("installation_pk")),
    )
    indexed = "INSERT INTO installation (id, terms_key) SELECT 1, :key WHERE EXISTS "
    op.execute(
        sa.text(f"{indexed} (SELECT FROM resource)").bindparams(
            sa.bindparam("key", _FIRST_KEY, type_=sa.LargeBinary())
        )
    )
    op.create_table(
        "asynchronous_request",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=True),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("answer_headers", postgresql.JSONB(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("asynchronous_request_pk")),
    )
    op.create_index(
        "asynchronous_request_lane_ix",
        "asynchronous_request",
        ["lane", "created_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "asynchronous_request_expires_ix", "asynchronous_request", ["expires_at"], unique=False
    )
    op.create_table(
        "asynchronous_entry",
        sa.Column("request_id", sa.Text(collation="C"), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["asynchronous_request.id"],
            name="asynchronous_entry_request_fk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "index", name=op.f("asynchronous_entry_pk")),
    )


def downgrade() -> None:
    """Bring the schema back."""
    op.drop_table("asynchronous_entry")
    op.drop_table("asynchronous_request")
    op.drop_table("installation")
