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
# another study or series. `state` is open, kept (the first content stays), or replaced (this
# is a previous version of what is stored now). What tells of the content is NULL in old rows.
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
    Column("sop_class_uid", _UID),
    Column("size", BigInteger),
    Column("data_set_offset", Integer),
    Column("pixel_offset", BigInteger),
    Column("flags", ARRAY(Text)),
    Column("attributes", JSONB),
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
# `link` is the Patient that an operator chose, `matched` are those that were found, `patient`
# the one that is shown: what the found one was merged into. `corrections` are what operators
# said of the study, `overlay` is all that differs from what was received (overlay.py).
# `imaging_study` is the id of the ImagingStudy that shows it, NULL before there is one.
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
    Column("corrections", JSONB),
    Column("overlay", JSONB),
    Column("overlay_version", Integer, nullable=False, server_default="0"),
    Column("link", Text),
    Column("patient", Text),
    Column("matched", ARRAY(Text), nullable=False, server_default="{}"),
    Column("other_patient_ids", ARRAY(_UID), nullable=False, server_default="{}"),
    Column("unmatched_at", DateTime(timezone=True)),
    Column("imaging_study", _UID),
    Index("dicom_study_imaging_ix", "imaging_study"),
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
    Index("dicom_study_link_ix", "link", postgresql_where=text("link IS NOT NULL")),
    Index("dicom_study_shown_ix", "patient"),
    Index("dicom_study_matched_ix", "matched", postgresql_using="gin"),
    Index("dicom_study_other_ids_ix", "other_patient_ids", postgresql_using="gin"),
    Index(
        "dicom_study_unmatched_ix",
        "unmatched_at",
        postgresql_where=text("unmatched_at IS NOT NULL"),
    ),
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

# A performed procedure step as its SCU reports it. `state` is that of PS3.4, F.7.1; `attributes`
# the elements of its data set by tag, each a pair of VR and values; `studies` and `accessions`
# those of its scheduled steps. `version` counts the messages, `applied` those that FHIR shows;
# `procedure` is the id of its Procedure. `withdrawn`: it was made for the wrong worklist entry.
# `flags` names what was irregular and was taken all the same.
mpps = Table(
    "dicom_mpps",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("state", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("studies", ARRAY(_UID), nullable=False),
    Column("accessions", ARRAY(_UID), nullable=False),
    Column("calling_ae", Text, nullable=False),
    Column("called_ae", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("issuer", Text, nullable=False, server_default=""),
    Column("timezone", Text, nullable=False, server_default=""),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("applied", Integer, nullable=False, server_default="0"),
    Column("procedure", Text),
    Column("withdrawn", Boolean, nullable=False, server_default=text("false")),
    Column("flags", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("dicom_mpps_studies_ix", "studies", postgresql_using="gin"),
    Index("dicom_mpps_created_ix", "created_at"),
)

# Each message that changed a step, as it came.
mpps_message = Table(
    "dicom_mpps_message",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("data_set", LargeBinary, nullable=False),
    Column("calling_ae", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# A request for storage commitment. `state` is waiting (not decided), decided (to be reported),
# reported, or dismissed by an operator. `instances` are pairs of class and instance, `failed`
# triples of class, instance and failure reason. `duplicate`: its transaction UID was in use.
commitment = Table(
    "dicom_commitment",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("transaction_uid", _UID, nullable=False),
    Column("calling_ae", Text, nullable=False),
    Column("called_ae", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("instances", JSONB, nullable=False),
    Column("duplicate", Boolean, nullable=False, server_default=text("false")),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("failed", JSONB),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failure", Text),
    Column("requested_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("decided_at", DateTime(timezone=True)),
    Column("report_at", DateTime(timezone=True)),
    Column("reported_at", DateTime(timezone=True)),
    Index("dicom_commitment_transaction_ix", "transaction_uid", "calling_ae"),
    Index(
        "dicom_commitment_open_ix",
        "requested_at",
        postgresql_where=text("state IN ('waiting', 'decided')"),
    ),
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
    # The Organization (a reference) whose it is, where that is another.
    Column("discloses_to", Text),
    Column("plain", Boolean, nullable=False, server_default=text("false")),
)

# What an order of this code is to a modality. `system` "": a code of no system. `requested` is
# a coded entry of another name for it, `protocols` are coded entries, `stations` the AE titles
# of the group that may do it.
procedure = Table(
    "dicom_procedure",
    metadata,
    Column("system", _UID, primary_key=True),
    Column("code", _UID, primary_key=True),
    Column("modality", _UID, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("requested", JSONB),
    Column("protocols", JSONB, nullable=False, server_default="[]"),
    Column("stations", ARRAY(Text), nullable=False, server_default="{}"),
    Column("minutes", Integer),
)

# The ids of an imaging order, made once, and what its steps say came from: `uses` are
# references like Patient/1, whose change has the steps written again.
worklist_order = Table(
    "worklist_order",
    metadata,
    Column("service_request", _UID, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("study_instance_uid", _UID, nullable=False),
    Column("accession_number", _UID, nullable=False),
    Column("accession_issuer", _UID, nullable=False, server_default=""),
    Column("requested_procedure_id", _UID, nullable=False),
    Column("uses", ARRAY(Text), nullable=False, server_default="{}"),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("worklist_order_study_ix", "study_instance_uid"),
    Index("worklist_order_accession_ix", "accession_number"),
    Index("worklist_order_uses_ix", "uses", postgresql_using="gin"),
)

# One row for each step of an order: that of an appointment, or without one that of the
# occurrence (`appointment` ""). `state` is what order and appointment say, SCHEDULED or
# ARRIVED, "" when they have it left the list; `performed` what MPPS say of it, status by SOP
# Instance UID; `status` what follows of both, "" when it is not listed. `attributes` are those
# of the answer, `step` those of the item of its Scheduled Procedure Step Sequence; `folded`
# and `step_folded` the groups of person names in them as they are compared.
worklist_step = Table(
    "worklist_step",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("service_request", _UID, nullable=False),
    Column("appointment", _UID, nullable=False, server_default=""),
    Column("step_id", _UID, nullable=False),
    Column("state", Text, nullable=False),
    Column("performed", JSONB, nullable=False, server_default="{}"),
    Column("status", Text, nullable=False),
    Column("shown_until", DateTime(timezone=True)),
    Column("start_date", _UID, nullable=False),
    Column("start_time", _UID, nullable=False),
    Column("modality", _UID, nullable=False),
    Column("stations", ARRAY(_UID), nullable=False),
    Column("study_instance_uid", _UID, nullable=False),
    Column("accession_number", _UID, nullable=False),
    Column("requested_procedure_id", _UID, nullable=False),
    Column("patient_id", _UID, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("folded", JSONB, nullable=False),
    Column("step", JSONB, nullable=False),
    Column("step_folded", JSONB, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    UniqueConstraint("service_request", "appointment", name="worklist_step_of_key"),
    UniqueConstraint("step_id", name="worklist_step_id_key"),
    Index(
        "worklist_step_start_ix",
        "start_date",
        "start_time",
        postgresql_where=text("status <> ''"),
    ),
    Index(
        "worklist_step_modality_ix",
        "modality",
        "start_date",
        postgresql_where=text("status <> ''"),
    ),
    Index(
        "worklist_step_stations_ix",
        "stations",
        postgresql_using="gin",
        postgresql_where=text("status <> ''"),
    ),
    Index("worklist_step_study_ix", "study_instance_uid"),
    Index("worklist_step_accession_ix", "accession_number"),
    Index("worklist_step_patient_ix", "patient_id"),
)

# What is known of a study apart from its instances: orders, procedures, the patient. Of
# `attributes`, those count that no instance has.
expected = Table(
    "dicom_expected",
    metadata,
    Column("study_instance_uid", _UID, primary_key=True),
    Column("subject", Text),
    Column("encounter", Text),
    Column("requests", ARRAY(Text), nullable=False, server_default="{}"),
    Column("procedures", ARRAY(Text), nullable=False, server_default="{}"),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    Column("cancelled", Boolean, nullable=False, server_default=text("false")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# An instance that is rejected, or will be when it comes: `code` is that of the rejection note's
# title. `approved_by` is who allowed that it is removed for good.
rejection = Table(
    "dicom_rejection",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("study_instance_uid", _UID, nullable=False),
    Column("series_instance_uid", _UID, nullable=False),
    Column("code", Text, nullable=False),
    Column("note", _UID),
    Column("rejected_by", Text, nullable=False),
    Column("rejected_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("reason", Text, nullable=False, server_default=""),
    Column("approved_by", Text),
    Column("approved_at", DateTime(timezone=True)),
    Index("dicom_rejection_study_ix", "study_instance_uid", "series_instance_uid"),
    Index(
        "dicom_rejection_approved_ix",
        "rejected_at",
        postgresql_where=text("approved_by IS NOT NULL"),
    ),
)

# What is left of an instance that was removed for good.
tombstone = Table(
    "dicom_tombstone",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("study_instance_uid", _UID, nullable=False),
    Column("series_instance_uid", _UID, nullable=False),
    Column("data_set_hash", LargeBinary, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rejected_by", Text, nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("expunged_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("dicom_tombstone_study_ix", "study_instance_uid", "series_instance_uid"),
)

# A series that was shown to belong to another study than it says.
split = Table(
    "dicom_split",
    metadata,
    Column("study_instance_uid", _UID, primary_key=True),
    Column("series_instance_uid", _UID, primary_key=True),
    Column("into_study", _UID, nullable=False),
)

# What operators did with studies, and what is needed to undo it.
action = Table(
    "dicom_action",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("study_instance_uid", _UID, nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("detail", JSONB, nullable=False),
    Column("undone_by", Text),
    Column("undone_at", DateTime(timezone=True)),
    Index("dicom_action_study_ix", "study_instance_uid"),
)

# The metadata of a series as they were last shown: JSON, packed by gzip. `fingerprint` tells
# of which instances, so that a row is never wrong but only of no use any more.
metadata_of_series = Table(
    "dicom_metadata",
    metadata,
    Column("study_instance_uid", _UID, primary_key=True),
    Column("series_instance_uid", _UID, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# Where the frames of an encapsulated file lie, where that took a walk through its fragments:
# frame number, start and end of each fragment as 64-bit integers, packed by zlib.
frames = Table(
    "dicom_frames",
    metadata,
    Column("blob", LargeBinary, primary_key=True),
    Column("spans", LargeBinary, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# What is held of a sender, by its AE title, and how much may be: `quota` in bytes, NULL for none
# of its own. The account `*` has the quota of all together.
usage = Table(
    "dicom_usage",
    metadata,
    Column("name", _UID, primary_key=True),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("instances", BigInteger, nullable=False, server_default="0"),
    Column("quota", BigInteger),
)

# How far the round of verification is, of which there is one: what comes behind `after` is
# next. `checked` counts those of this round, `rounds` those that are complete.
verification = Table(
    "dicom_verification",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("after", _UID, nullable=False, server_default=""),
    Column("checked", BigInteger, nullable=False, server_default="0"),
    Column("rounds", Integer, nullable=False, server_default="0"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# A stored file that is not what was stored. `kind` is missing, size or hash.
damage = Table(
    "dicom_damage",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("blob", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# For whom data are de-identified: the key from which new identifiers and shifts of dates
# follow, and the options of the profile (PS3.15, Annex E).
project = Table(
    "dicom_project",
    metadata,
    Column("name", _UID, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("options", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# What an instance was before it was packed without loss.
recompressed = Table(
    "dicom_recompressed",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("data_set_hash", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=_NOW),
)

# What became of a structured report or encapsulated document. `state` is mapped, rendered (only
# the report itself could be written), failed, superseded, withdrawn or note; `reason` says why,
# without values. `resources` are the literal references that were written, the report first,
# `unmapped` the content items that only its rendering has. `fingerprint` tells of what it was
# made, so that it is not made of the same again.
document = Table(
    "dicom_document",
    metadata,
    Column("sop_instance_uid", _UID, primary_key=True),
    Column("study_instance_uid", _UID, nullable=False),
    Column("sop_class_uid", _UID, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("title", Text, nullable=False, server_default=""),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("predecessors", ARRAY(_UID), nullable=False, server_default="{}"),
    Column("resources", ARRAY(Text), nullable=False, server_default="{}"),
    Column("items", Integer, nullable=False, server_default="0"),
    Column("unmapped", JSONB, nullable=False, server_default="[]"),
    Column("flags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("mapped_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Index("dicom_document_study_ix", "study_instance_uid"),
    Index("dicom_document_predecessors_ix", "predecessors", postgresql_using="gin"),
    Index(
        "dicom_document_trouble_ix",
        "mapped_at",
        postgresql_where=text("state IN ('failed', 'rendered')"),
    ),
)
