"""The instance index of the image archive.

`dicom_instance` has one row for each instance that was answered with Success,
`dicom_series` and `dicom_study` one for each series and study with what the first
instance said of it, `dicom_conflict` one for each other content that came under the
same SOP Instance UID, `dicom_peer` one for each AE that we know.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    text,
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
    Column("instance_number", BigInteger),
    Column("indexed", Integer, nullable=False, server_default="0"),
    # With the state, counting needs the index alone.
    Index("dicom_instance_study_ix", "study_instance_uid", "series_instance_uid", "state"),
    Index("dicom_instance_indexed_ix", "indexed"),
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
# `attributes` are those of patient and study in the first instance; NULL: not indexed yet.
# `folded` has the groups of person names as they are compared, the other columns what is
# searched most. Rows are made by the store path, `dicom_series` likewise.
study = Table(
    "dicom_study",
    metadata,
    Column("study_instance_uid", _UID, primary_key=True),
    Column("folded_to", DateTime(timezone=True)),
    Column("folded_at", DateTime(timezone=True)),
    Column("folds", Integer, nullable=False, server_default="0"),
    Column("instances", Integer, nullable=False, server_default="0"),
    Column("subject", Text),
    Column("patient_id", _UID, nullable=False, server_default=""),
    Column("patient_issuer", _UID, nullable=False, server_default=""),
    Column("patient_name", _UID),
    Column("patient_ideographic", _UID),
    Column("patient_phonetic", _UID),
    Column("study_date", _UID),
    Column("accession_number", _UID),
    Column("folded", JSONB),
    Column("attributes", JSONB),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("dicom_study_date_ix", text("study_date DESC NULLS LAST"), "study_instance_uid"),
    Index("dicom_study_patient_ix", "patient_id", "patient_issuer"),
    Index("dicom_study_name_ix", "patient_name"),
    Index(
        "dicom_study_ideographic_ix",
        "patient_ideographic",
        postgresql_where=text("patient_ideographic IS NOT NULL"),
    ),
    Index(
        "dicom_study_phonetic_ix",
        "patient_phonetic",
        postgresql_where=text("patient_phonetic IS NOT NULL"),
    ),
    Index("dicom_study_accession_ix", "accession_number"),
)

series = Table(
    "dicom_series",
    metadata,
    Column("study_instance_uid", _UID, primary_key=True),
    Column("series_instance_uid", _UID, primary_key=True),
    Column("modality", _UID),
    Column("series_number", BigInteger),
    Column("folded", JSONB, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("dicom_series_uid_ix", "series_instance_uid"),
)

# `host` is the address that the peer calls from and is called at; `port` 0: it is not called.
# `services` are those that it may use; `identity` the SHA-256 of its certificate in hex, or a
# DNS name of it; `tls`: it is called with TLS. What follows are defaults for what it sends.
peer = Table(
    "dicom_peer",
    metadata,
    Column("ae_title", _UID, primary_key=True),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False, server_default="0"),
    Column("services", ARRAY(Text), nullable=False),
    Column("tls", Boolean, nullable=False, server_default=text("false")),
    Column("identity", Text),
    Column("issuer", Text),
    Column("timezone", Text),
    Column("character_set", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("heard_at", DateTime(timezone=True)),
    Column("reached_at", DateTime(timezone=True)),
    Column("failure", Text),
)
