"""DICOM: what became of documents.

Revision 0025, after 0024.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0025"
down_revision: str | Sequence[str] | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_UID = sa.Text(collation="C")
_TEXTS = postgresql.ARRAY(sa.Text())
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "dicom_document",
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("sop_class_uid", _UID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("predecessors", postgresql.ARRAY(_UID), server_default="{}", nullable=False),
        sa.Column("resources", _TEXTS, server_default="{}", nullable=False),
        sa.Column("items", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unmapped", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("flags", _TEXTS, server_default="{}", nullable=False),
        sa.Column("mapped_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("dicom_document_pk")),
    )
    op.create_index("dicom_document_study_ix", "dicom_document", ["study_instance_uid"])
    op.create_index(
        "dicom_document_predecessors_ix",
        "dicom_document",
        ["predecessors"],
        postgresql_using="gin",
    )
    op.create_index(
        "dicom_document_trouble_ix",
        "dicom_document",
        ["mapped_at"],
        postgresql_where=sa.text("state IN ('failed', 'rendered')"),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("dicom_document")
