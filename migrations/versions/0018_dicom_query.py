"""DICOM: query.

Revision 0018, after 0017.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_UID = sa.Text(collation="C")
_NOW = sa.text("clock_timestamp()")


def _of_study() -> list[sa.Column[Any]]:
    return [
        sa.Column("patient_id", _UID, server_default="", nullable=False),
        sa.Column("patient_issuer", _UID, server_default="", nullable=False),
        sa.Column("patient_name", _UID),
        sa.Column("patient_ideographic", _UID),
        sa.Column("patient_phonetic", _UID),
        sa.Column("study_date", _UID),
        sa.Column("accession_number", _UID),
        sa.Column("folded", postgresql.JSONB()),
        sa.Column("attributes", postgresql.JSONB()),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
    ]


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("dicom_instance", sa.Column("instance_number", sa.BigInteger()))
    op.add_column(
        "dicom_instance", sa.Column("indexed", sa.Integer(), server_default="0", nullable=False)
    )
    op.drop_index("dicom_instance_study_ix", table_name="dicom_instance")
    op.create_index(
        "dicom_instance_study_ix",
        "dicom_instance",
        ["study_instance_uid", "series_instance_uid", "state"],
    )
    op.create_index("dicom_instance_indexed_ix", "dicom_instance", ["indexed"])
    for column in _of_study():
        op.add_column("dicom_study", column)
    op.create_index(
        "dicom_study_date_ix",
        "dicom_study",
        [sa.text("study_date DESC NULLS LAST"), "study_instance_uid"],
    )
    op.create_index("dicom_study_patient_ix", "dicom_study", ["patient_id", "patient_issuer"])
    op.create_index("dicom_study_name_ix", "dicom_study", ["patient_name"])
    for group in ("ideographic", "phonetic"):
        op.create_index(
            f"dicom_study_{group}_ix",
            "dicom_study",
            [f"patient_{group}"],
            postgresql_where=sa.text(f"patient_{group} IS NOT NULL"),
        )
    op.create_index("dicom_study_accession_ix", "dicom_study", ["accession_number"])
    op.create_table(
        "dicom_series",
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("series_instance_uid", _UID, nullable=False),
        sa.Column("modality", _UID),
        sa.Column("series_number", sa.BigInteger()),
        sa.Column("folded", postgresql.JSONB(), nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint(
            "study_instance_uid", "series_instance_uid", name=op.f("dicom_series_pk")
        ),
    )
    op.create_index("dicom_series_uid_ix", "dicom_series", ["series_instance_uid"])
    op.create_table(
        "dicom_peer",
        sa.Column("ae_title", _UID, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), server_default="0", nullable=False),
        sa.Column("services", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("tls", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("identity", sa.Text()),
        sa.Column("issuer", sa.Text()),
        sa.Column("timezone", sa.Text()),
        sa.Column("character_set", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True)),
        sa.Column("reached_at", sa.DateTime(timezone=True)),
        sa.Column("failure", sa.Text()),
        sa.PrimaryKeyConstraint("ae_title", name=op.f("dicom_peer_pk")),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("dicom_peer")
    op.drop_table("dicom_series")
    for name in ("accession", "phonetic", "ideographic", "name", "patient", "date"):
        op.drop_index(f"dicom_study_{name}_ix", table_name="dicom_study")
    for column in _of_study():
        op.drop_column("dicom_study", str(column.name))
    op.drop_index("dicom_instance_indexed_ix", table_name="dicom_instance")
    op.drop_index("dicom_instance_study_ix", table_name="dicom_instance")
    op.create_index(
        "dicom_instance_study_ix",
        "dicom_instance",
        ["study_instance_uid", "series_instance_uid"],
    )
    op.drop_column("dicom_instance", "indexed")
    op.drop_column("dicom_instance", "instance_number")
