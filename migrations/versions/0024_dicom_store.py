"""DICOM: DICOMweb, quota, recompression, de-identification.

Revision 0024, after 0023.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0024"
down_revision: str | Sequence[str] | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_UID = sa.Text(collation="C")
_NOW = sa.text("clock_timestamp()")


def _at(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)


def _count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def upgrade() -> None:
    """Bring the schema to this revision."""
    _web()
    _store()


def _web() -> None:
    op.create_table(
        "dicom_metadata",
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("series_instance_uid", _UID, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint(
            "study_instance_uid", "series_instance_uid", name=op.f("dicom_metadata_pk")
        ),
    )
    op.create_table(
        "dicom_frames",
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("spans", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("blob", name=op.f("dicom_frames_pk")),
    )


def _store() -> None:
    op.create_table(
        "dicom_usage",
        sa.Column("name", _UID, nullable=False),
        _count("bytes"),
        _count("instances"),
        sa.Column("quota", sa.BigInteger()),
        sa.PrimaryKeyConstraint("name", name=op.f("dicom_usage_pk")),
    )
    op.create_table(
        "dicom_verification",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("after", _UID, server_default="", nullable=False),
        _count("checked"),
        sa.Column("rounds", sa.Integer(), server_default="0", nullable=False),
        _at("started_at"),
        _at("at"),
        sa.PrimaryKeyConstraint("id", name=op.f("dicom_verification_pk")),
    )
    op.create_table(
        "dicom_damage",
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        _at("found_at"),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("dicom_damage_pk")),
    )
    op.create_table(
        "dicom_project",
        sa.Column("name", _UID, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("options", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        _at("created_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("dicom_project_pk")),
    )
    op.create_table(
        "dicom_recompressed",
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("transfer_syntax_uid", _UID, nullable=False),
        sa.Column("data_set_hash", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        _at("at"),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("dicom_recompressed_pk")),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for name in ("recompressed", "project", "damage", "verification", "usage"):
        op.drop_table(f"dicom_{name}")
    op.drop_table("dicom_frames")
    op.drop_table("dicom_metadata")
