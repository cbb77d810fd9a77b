"""DICOM: DICOMweb.

Revision 0020, after 0019.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | Sequence[str] | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_UID = sa.Text(collation="C")
_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Bring the schema to this revision."""
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


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("dicom_frames")
    op.drop_table("dicom_metadata")
