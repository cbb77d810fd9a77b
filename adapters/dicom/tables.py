"""The instance index of the image archive.

`dicom_instance` has one row for each instance that was answered with Success,
`dicom_conflict` one for each other content that came under the same SOP Instance
UID, `dicom_study` the state of a study's ImagingStudy.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "pk": "%(table_name)s_pk",
    }
)

_UID = Text(collation="C")
_NOW = func.clock_timestamp()

# `blob` is the SHA-256 of the file, by which it is found; `data_set_hash` that of the data
# set alone, by which duplicates are told from conflicts. `pixel_offset` counts in the data
# set; NULL: not known. `flags` names what was irregular and could be read all the same.
instance = Table(
    "dicom_instance",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("study_instance_uid", _UID, nullable=False),
    Column("series_instance_uid", _UID, nullable=False),
    Column("sop_class_uid", _UID, nullable=False),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Column("data_set_hash", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("data_set_offset", Integer, nullable=False),
    Column("pixel_offset", BigInteger),
    Column("calling_ae", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("state", Text, nullable=False, server_default="live"),
    Column("flags", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),
    Index("dicom_instance_study_ix", "study_instance_uid", "series_instance_uid"),
    Index("dicom_instance_blob_ix", "blob"),
)

# `kind` is `content` for other bytes, `encoding` for another transfer syntax, `study` for
# another study or series.
conflict = Table(
    "dicom_conflict",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("sop_instance_uid", _UID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("study_instance_uid", _UID, nullable=False),
    Column("series_instance_uid", _UID, nullable=False),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Column("data_set_hash", LargeBinary, nullable=False),
    Column("calling_ae", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("state", Text, nullable=False, server_default="open"),
    UniqueConstraint(
        "sop_instance_uid",
        "transfer_syntax_uid",
        "data_set_hash",
        name="dicom_conflict_content_key",
    ),
    Index("dicom_conflict_blob_ix", "blob"),
)

# `folded_to` is the newest arrival that the ImagingStudy shows, `instances` how many,
# `folds` how often it was written, `subject` how the patient was matched (fold.py).
study = Table(
    "dicom_study",
    metadata,
    Column("study_instance_uid", _UID, primary_key=True),
    Column("folded_to", DateTime(timezone=True)),
    Column("folded_at", DateTime(timezone=True)),
    Column("folds", Integer, nullable=False, server_default="0"),
    Column("instances", Integer, nullable=False, server_default="0"),
    Column("subject", Text),
)
