"""Code systems.

Revision 0006, after 0005.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema to this revision; tenants read the installation's code systems."""
    if context.config.attributes.get("tenant"):
        return
    op.execute("CREATE SCHEMA tx")
    op.create_table(
        "closure",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("ancestor", sa.Integer(), nullable=False),
        sa.Column("descendant", sa.Integer(), nullable=False),
        sa.Column("depth", sa.SmallInteger(), nullable=False),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
    op.create_index(
        "closure_ancestor_descendant_ix",
        "closure",
        ["ancestor", "descendant"],
        unique=False,
        schema="tx",
    )
    op.create_index(
        "closure_descendant_ancestor_ix",
        "closure",
        ["descendant", "ancestor"],
        unique=False,
        schema="tx",
    )
    op.create_table(
        "code_system",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.Column("tenant", sa.Text(collation="C"), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="loading", nullable=False),
        sa.Column("content", sa.Text(), server_default="complete", nullable=False),
        sa.Column("case_sensitive", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("hierarchy_meaning", sa.Text(), nullable=True),
        sa.Column("hierarchical", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("grammar", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("resource", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "uses", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.Column(
            "source", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("concepts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("code_system_pk")),
        schema="tx",
    )
    op.create_index(
        "code_system_url_version_tenant_ix",
        "code_system",
        ["url", "version", "tenant"],
        unique=True,
        schema="tx",
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "concept",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("cid", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("display", sa.Text(), nullable=True),
        sa.Column("definition", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("abstract", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
    op.create_index("concept_cid_ix", "concept", ["cid", "cs_id"], unique=True, schema="tx")
    op.create_index("concept_code_ix", "concept", ["code", "cs_id"], unique=True, schema="tx")
    op.create_index(
        "concept_lower_ix", "concept", [sa.literal_column("lower(code)")], unique=False, schema="tx"
    )
    op.create_index("concept_seq_ix", "concept", ["seq"], unique=False, schema="tx")
    op.create_table(
        "designation",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("cid", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("use_id", sa.SmallInteger(), nullable=True),
        sa.Column("term", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("preferred", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
    op.create_index("designation_cid_ix", "designation", ["cid"], unique=False, schema="tx")
    op.create_table(
        "edge",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("child", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
    op.create_index("edge_child_parent_ix", "edge", ["child", "parent"], unique=False, schema="tx")
    op.create_index("edge_parent_child_ix", "edge", ["parent", "child"], unique=False, schema="tx")
    op.create_table(
        "property",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("cid", sa.Integer(), nullable=False),
        sa.Column("prop_id", sa.SmallInteger(), nullable=False),
        sa.Column("group_no", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("value_code", sa.Text(collation="C"), nullable=True),
        sa.Column("value_cid", sa.Integer(), nullable=True),
        sa.Column("value_text", sa.Text(), nullable=True),
        sa.Column("value_num", sa.Numeric(), nullable=True),
        sa.Column("value_bool", sa.Boolean(), nullable=True),
        sa.Column("value_date", sa.Text(collation="C"), nullable=True),
        sa.Column("value_system", sa.Text(), nullable=True),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
    op.create_index(
        "property_cid_prop_id_ix", "property", ["cid", "prop_id"], unique=False, schema="tx"
    )
    op.create_index(
        "property_value_cid_ix",
        "property",
        ["prop_id", "value_cid", "cid"],
        unique=False,
        schema="tx",
        postgresql_where=sa.text("value_cid IS NOT NULL"),
    )
    op.create_index(
        "property_value_code_ix",
        "property",
        ["prop_id", "value_code", "cid"],
        unique=False,
        schema="tx",
        postgresql_where=sa.text("value_code IS NOT NULL"),
    )
    op.create_table(
        "refset_member",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("refset", sa.Integer(), nullable=False),
        sa.Column("cid", sa.Integer(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("map_target", sa.Text(collation="C"), nullable=True),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
    op.create_index("refset_member_cid_ix", "refset_member", ["cid"], unique=False, schema="tx")
    op.create_index(
        "refset_member_refset_cid_ix", "refset_member", ["refset", "cid"], unique=False, schema="tx"
    )
    op.create_table(
        "search_text",
        sa.Column("cs_id", sa.Integer(), nullable=False),
        sa.Column("cid", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        schema="tx",
        postgresql_partition_by="LIST (cs_id)",
    )
