"""DICOM: worklist and modality performed procedure steps.

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
_LISTED = sa.text("status <> ''")


def upgrade() -> None:
    """Bring the schema to this revision."""
    _worklist()
    _performed()


def _worklist() -> None:
    op.create_table(
        "dicom_procedure",
        sa.Column("system", _UID, nullable=False),
        sa.Column("code", _UID, nullable=False),
        sa.Column("modality", _UID, nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("requested", postgresql.JSONB()),
        sa.Column("protocols", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("stations", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("minutes", sa.Integer()),
        sa.PrimaryKeyConstraint("system", "code", name="dicom_procedure_pk"),
    )
    _orders()
    _steps()


def _orders() -> None:
    op.create_table(
        "worklist_order",
        sa.Column("service_request", _UID, nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("accession_number", _UID, nullable=False),
        sa.Column("accession_issuer", _UID, server_default="", nullable=False),
        sa.Column("requested_procedure_id", _UID, nullable=False),
        sa.Column("uses", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("service_request", name="worklist_order_pk"),
    )
    op.create_index("worklist_order_study_ix", "worklist_order", ["study_instance_uid"])
    op.create_index("worklist_order_accession_ix", "worklist_order", ["accession_number"])
    op.create_index("worklist_order_uses_ix", "worklist_order", ["uses"], postgresql_using="gin")


def _steps() -> None:
    op.create_table(
        "worklist_step",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("service_request", _UID, nullable=False),
        sa.Column("appointment", _UID, server_default="", nullable=False),
        sa.Column("step_id", _UID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("performed", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("shown_until", sa.DateTime(timezone=True)),
        sa.Column("start_date", _UID, nullable=False),
        sa.Column("start_time", _UID, nullable=False),
        sa.Column("modality", _UID, nullable=False),
        sa.Column("stations", postgresql.ARRAY(_UID), nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=False),
        sa.Column("accession_number", _UID, nullable=False),
        sa.Column("requested_procedure_id", _UID, nullable=False),
        sa.Column("patient_id", _UID, nullable=False),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("folded", postgresql.JSONB(), nullable=False),
        sa.Column("step", postgresql.JSONB(), nullable=False),
        sa.Column("step_folded", postgresql.JSONB(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="worklist_step_pk"),
        sa.UniqueConstraint("service_request", "appointment", name="worklist_step_of_key"),
        sa.UniqueConstraint("step_id", name="worklist_step_id_key"),
    )
    for name, columns in (
        ("worklist_step_start_ix", ["start_date", "start_time"]),
        ("worklist_step_modality_ix", ["modality", "start_date"]),
    ):
        op.create_index(name, "worklist_step", columns, postgresql_where=_LISTED)
    op.create_index(
        "worklist_step_stations_ix",
        "worklist_step",
        ["stations"],
        postgresql_using="gin",
        postgresql_where=_LISTED,
    )
    op.create_index("worklist_step_study_ix", "worklist_step", ["study_instance_uid"])
    op.create_index("worklist_step_accession_ix", "worklist_step", ["accession_number"])
    op.create_index("worklist_step_patient_ix", "worklist_step", ["patient_id"])


def _performed() -> None:
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
    for table in ("worklist_step", "worklist_order", "dicom_procedure"):
        op.drop_table(table)
