"""DICOM: studies, and what became of documents.

Revision 0025, after 0024.
"""

from collections.abc import Sequence
from typing import Any

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


def _at(name: str = "updated_at") -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)


def _of_conflict() -> list[sa.Column[Any]]:
    return [
        sa.Column("sop_class_uid", _UID),
        sa.Column("size", sa.BigInteger()),
        sa.Column("data_set_offset", sa.Integer()),
        sa.Column("pixel_offset", sa.BigInteger()),
        sa.Column("flags", _TEXTS),
        sa.Column("attributes", postgresql.JSONB()),
    ]


def _of_study() -> list[sa.Column[Any]]:
    return [
        sa.Column("corrections", postgresql.JSONB()),
        sa.Column("overlay", postgresql.JSONB()),
        sa.Column("overlay_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("link", sa.Text()),
        sa.Column("patient", sa.Text()),
        sa.Column("matched", _TEXTS, server_default="{}", nullable=False),
        sa.Column("other_patient_ids", postgresql.ARRAY(_UID), server_default="{}", nullable=False),
        sa.Column("unmatched_at", sa.DateTime(timezone=True)),
    ]


def _place() -> list[sa.Column[Any]]:
    return [
        sa.Column("sop_instance_uid", _UID, primary_key=True),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("series_instance_uid", _UID, nullable=False),
    ]


def upgrade() -> None:
    """Bring the schema to this revision."""
    _studies()
    _documents()


def _studies() -> None:
    for column in _of_conflict():
        op.add_column("dicom_conflict", column)
    for column in _of_study():
        op.add_column("dicom_study", column)
    _index_studies()
    op.create_table(
        "dicom_expected",
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("encounter", sa.Text()),
        sa.Column("requests", _TEXTS, server_default="{}", nullable=False),
        sa.Column("procedures", _TEXTS, server_default="{}", nullable=False),
        sa.Column("attributes", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("cancelled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _at(),
        sa.PrimaryKeyConstraint("study_instance_uid", name=op.f("dicom_expected_pk")),
    )
    _create_rejections()
    op.create_table(
        "dicom_split",
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("series_instance_uid", _UID, nullable=False),
        sa.Column("into_study", _UID, nullable=False),
        sa.PrimaryKeyConstraint(
            "study_instance_uid", "series_instance_uid", name=op.f("dicom_split_pk")
        ),
    )
    op.create_table(
        "dicom_action",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        _at("at"),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.Column("undone_by", sa.Text()),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("dicom_action_pk")),
    )
    op.create_index("dicom_action_study_ix", "dicom_action", ["study_instance_uid"])


def _index_studies() -> None:
    set_ = {"postgresql_where": sa.text("link IS NOT NULL")}
    op.create_index("dicom_study_link_ix", "dicom_study", ["link"], **set_)
    op.create_index("dicom_study_shown_ix", "dicom_study", ["patient"])
    op.create_index("dicom_study_matched_ix", "dicom_study", ["matched"], postgresql_using="gin")
    op.create_index(
        "dicom_study_other_ids_ix", "dicom_study", ["other_patient_ids"], postgresql_using="gin"
    )
    op.create_index(
        "dicom_study_unmatched_ix",
        "dicom_study",
        ["unmatched_at"],
        postgresql_where=sa.text("unmatched_at IS NOT NULL"),
    )


def _create_rejections() -> None:
    op.create_table(
        "dicom_rejection",
        *_place(),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("note", _UID),
        sa.Column("rejected_by", sa.Text(), nullable=False),
        _at("rejected_at"),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "dicom_rejection_study_ix",
        "dicom_rejection",
        ["study_instance_uid", "series_instance_uid"],
    )
    op.create_index(
        "dicom_rejection_approved_ix",
        "dicom_rejection",
        ["rejected_at"],
        postgresql_where=sa.text("approved_by IS NOT NULL"),
    )
    op.create_table(
        "dicom_tombstone",
        *_place(),
        sa.Column("data_set_hash", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rejected_by", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        _at("expunged_at"),
    )
    op.create_index(
        "dicom_tombstone_study_ix",
        "dicom_tombstone",
        ["study_instance_uid", "series_instance_uid"],
    )


def _documents() -> None:
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
    for name in ("action", "split", "tombstone", "rejection", "expected"):
        op.drop_table(f"dicom_{name}")
    for name in ("unmatched", "other_ids", "matched", "shown", "link"):
        op.drop_index(f"dicom_study_{name}_ix", table_name="dicom_study")
    for column in _of_study():
        op.drop_column("dicom_study", str(column.name))
    for column in _of_conflict():
        op.drop_column("dicom_conflict", str(column.name))
