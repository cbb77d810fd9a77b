"""DICOM: modality performed procedure steps.

Revision 0023, after 0022.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0023"
down_revision: str | Sequence[str] | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_UID = sa.Text(collation="C")
_NOW = sa.text("clock_timestamp()")
_NO = sa.text("false")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "dicom_mpps",
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("studies", postgresql.ARRAY(_UID), nullable=False),
        sa.Column("accessions", postgresql.ARRAY(_UID), nullable=False),
        sa.Column("calling_ae", sa.Text(), nullable=False),
        sa.Column("called_ae", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), server_default="", nullable=False),
        sa.Column("timezone", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("applied", sa.Integer(), server_default="0", nullable=False),
        sa.Column("procedure", sa.Text()),
        sa.Column("withdrawn", sa.Boolean(), server_default=_NO, nullable=False),
        sa.Column("flags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("dicom_mpps_pk")),
    )
    op.create_index("dicom_mpps_studies_ix", "dicom_mpps", ["studies"], postgresql_using="gin")
    op.create_index("dicom_mpps_created_ix", "dicom_mpps", ["created_at"])
    op.create_table(
        "dicom_mpps_message",
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("transfer_syntax_uid", _UID, nullable=False),
        sa.Column("data_set", sa.LargeBinary(), nullable=False),
        sa.Column("calling_ae", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", "version", name=op.f("dicom_mpps_message_pk")),
    )
    op.create_table(
        "dicom_commitment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("transaction_uid", _UID, nullable=False),
        sa.Column("calling_ae", sa.Text(), nullable=False),
        sa.Column("called_ae", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("instances", postgresql.JSONB(), nullable=False),
        sa.Column("duplicate", sa.Boolean(), server_default=_NO, nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("failed", postgresql.JSONB()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("report_at", sa.DateTime(timezone=True)),
        sa.Column("reported_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("dicom_commitment_pk")),
    )
    op.create_index(
        "dicom_commitment_transaction_ix", "dicom_commitment", ["transaction_uid", "calling_ae"]
    )
    op.create_index(
        "dicom_commitment_open_ix",
        "dicom_commitment",
        ["requested_at"],
        postgresql_where=sa.text("state IN ('waiting', 'decided')"),
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("dicom_commitment")
    op.drop_table("dicom_mpps_message")
    op.drop_table("dicom_mpps")
