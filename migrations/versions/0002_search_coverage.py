"""Coverage of search parameters.

Revision 0002, after 0001.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _since() -> sa.Column[sa.DateTime]:
    return sa.Column(
        "since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "search_coverage",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("parameter", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type_id", sa.SmallInteger(), nullable=False),
        sa.Column("param", sa.BigInteger(), nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        _since(),
        sa.Column("reindex", sa.BigInteger(), nullable=True),
        _count("done"),
        _count("total"),
        _count("failed"),
        sa.PrimaryKeyConstraint("id", name=op.f("search_coverage_pk")),
    )
    op.create_index("search_coverage_param_ix", "search_coverage", ["param"], unique=True)
    op.create_index("search_coverage_parameter_ix", "search_coverage", ["parameter"])
    op.create_table(
        "search_registry",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("search_registry_pk")),
    )
    op.create_table(
        "reindex",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type_id", sa.SmallInteger(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _count("done"),
        _count("total"),
        _count("failed"),
        _since(),
        sa.PrimaryKeyConstraint("id", name=op.f("reindex_pk")),
    )
    op.create_index(
        "reindex_open_ix",
        "reindex",
        ["type_id", "state"],
        unique=True,
        postgresql_where=sa.text("state IN ('pending', 'running')"),
    )
    op.create_table(
        "reindex_part",
        sa.Column("reindex", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        _count("done"),
        sa.Column("finished", sa.Boolean(), server_default="false", nullable=False),
        sa.PrimaryKeyConstraint("reindex", "part", name=op.f("reindex_part_pk")),
    )
    op.create_table(
        "reindex_error",
        sa.Column("reindex", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("coverage", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("reindex", "coverage", "key", name=op.f("reindex_error_pk")),
    )
