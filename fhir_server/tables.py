"""The tables of the store, the change feed and the jobs.

`resource` names what exists, `body` holds every version's text, `terms` and the
`idx_*` tables answer searches over current versions, `edge` holds literal
references, `change` is the feed, `job` the outbox. docs/decisions/0002 has the
measurements behind this shape.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, TSVECTOR
from sqlalchemy.types import UserDefinedType

metadata = MetaData(
    naming_convention={"ix": "%(table_name)s_%(column_0_N_name)s_ix", "pk": "%(table_name)s_pk"}
)


class Xid8(UserDefinedType[Any]):
    """PostgreSQL's 64-bit transaction id, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401  (SQLAlchemy's signature)
        """Return the type's name in DDL."""
        return "xid8"


# Each process takes one number, so that the keys of two processes never meet (keys.py).
process_node = Sequence("process_node", metadata=metadata, cycle=True, minvalue=0, maxvalue=1023)

resource = Table(
    "resource",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("type_id", SmallInteger, nullable=False),
    Column("id", Text(collation="C"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("last_updated", DateTime(timezone=True), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("feed_xid", Xid8, nullable=False),
    Column("security", Text),
    Index("resource_type_id_id_ix", "type_id", "id", unique=True),
)

body = Table(
    "body",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("last_updated", DateTime(timezone=True), nullable=False),
    Column("method", SmallInteger, nullable=False),
    Column("json", Text, nullable=False),
)

change = Table(
    "change",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("feed_xid", Xid8, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type_id", SmallInteger, nullable=False),
    Column("method", SmallInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("change_key_ix", "key"),
    Index("change_feed_ix", "feed_xid", "position"),
    Index("change_type_feed_ix", "type_id", "feed_xid", "position"),
)

# How far each reader of the feed has read (feed_readers.py).
feed_reader = Table(
    "feed_reader",
    metadata,
    Column("name", Text(collation="C"), primary_key=True),
    Column("feed_xid", Xid8, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("moved_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

terms = Table(
    "terms",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("type_id", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("last_updated", DateTime(timezone=True), nullable=False),
    Column("terms", ARRAY(BigInteger), nullable=False),
    # A pending list slows searches two to three times while others write (decision 0002).
    # So many kilobytes of entries wait to be merged: common terms of resources that are written
    # together are merged at once, and a search reads these few pages besides.
    Index(
        "terms_terms_ix",
        "terms",
        postgresql_using="gin",
        postgresql_with={"fastupdate": "on", "gin_pending_list_limit": "128"},
    ),
    Index("terms_type_updated_ix", "type_id", "last_updated", "key"),
    Index("terms_type_key_ix", "type_id", "key"),
)

edge = Table(
    "edge",
    metadata,
    Column("source_key", BigInteger, nullable=False),
    Column("param", Integer, nullable=False),
    Column("target_type", SmallInteger, nullable=False),
    Column("target_id", Text(collation="C"), nullable=False),
    Column("target_version", Integer),
    Index("edge_source_ix", "source_key", "param"),
    Index("edge_target_ix", "target_type", "target_id", "param", "source_key"),
)

# Identifiers that one resource has alone (setting `write.business_keys`): `term` as in `terms`.
business_key = Table(
    "business_key",
    metadata,
    Column("type_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("term", BigInteger, primary_key=True, autoincrement=False),
    Column("key", BigInteger, nullable=False),
    Index("business_key_key_ix", "key"),
)

# Range rows. `param` is a parameter's id, or the 64-bit scope of a part of one
# (search/terms.py). Bounds are half-open; dates are microseconds since 1970 UTC,
# numbers are order keys (search/number.py), so that comparison is exact, has no
# limits of range, and uses operators that are leakproof.

idx_date = Table(
    "idx_date",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Index("idx_date_key_ix", "key", "param"),
    Index("idx_date_low_ix", "param", "low", "key"),
    Index("idx_date_high_ix", "param", "high", "key"),
)

idx_number = Table(
    "idx_number",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("low", Text(collation="C"), nullable=False),
    Column("high", Text(collation="C"), nullable=False),
    Index("idx_number_key_ix", "key", "param"),
    Index("idx_number_low_ix", "param", "low", "key"),
    Index("idx_number_high_ix", "param", "high", "key"),
)

# `code` and `unit` are terms of the code and the unit as written; `canonical` is
# the term of the UCUM dimension, else of system and code, in whose measure
# `canonical_low` and `canonical_high` stand; each is 0 where there is none.
idx_quantity = Table(
    "idx_quantity",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("low", Text(collation="C"), nullable=False),
    Column("high", Text(collation="C"), nullable=False),
    Column("code", BigInteger, nullable=False),
    Column("unit", BigInteger, nullable=False),
    Column("canonical", BigInteger, nullable=False),
    Column("canonical_low", Text(collation="C"), nullable=False),
    Column("canonical_high", Text(collation="C"), nullable=False),
    Index("idx_quantity_key_ix", "key", "param"),
    Index("idx_quantity_low_ix", "param", "low"),
    Index("idx_quantity_canonical_ix", "param", "canonical", "canonical_low"),
)

# `value` is the first 200 characters of the normalised text (of a uri: as
# written), which fits a B-tree; `whole` is the whole of a longer one, else empty.
idx_string = Table(
    "idx_string",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("value", Text(collation="C"), nullable=False),
    Column("whole", Text(collation="C"), nullable=False),
    Index("idx_string_key_ix", "key", "param"),
    Index("idx_string_value_ix", "param", "value", "key"),
)

# Words with their places, of one resource or one parameter in each row (search/words.py,
# docs/decisions/0012). `param` is 0 for what R4 defines, and all its texts lie together.
idx_words = Table(
    "idx_words",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("words", TSVECTOR, nullable=False),
    Index("idx_words_key_ix", "key", "param"),
    # A resource has a hundred words, most of which are searched rarely: the pending list
    # writes them in batches.
    Index(
        "idx_words_words_ix",
        "words",
        postgresql_using="gin",
        postgresql_with={"fastupdate": "on", "gin_pending_list_limit": "2048"},
    ),
)

# Degrees of WGS84.
idx_position = Table(
    "idx_position",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("latitude", DOUBLE_PRECISION, nullable=False),
    Column("longitude", DOUBLE_PRECISION, nullable=False),
    Index("idx_position_key_ix", "key", "param"),
    Index("idx_position_latitude_ix", "param", "latitude", "longitude", "key"),
)

# Care relationships that resources establish (search/care.py, docs/decisions/0047). `actor` is a
# reference, `patient` an id, `kind` why; `low` and `high` are microseconds since 1970 UTC. Those
# of an open glass have the key of its row (access/tables.py).
idx_care = Table(
    "idx_care",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("actor", Text(collation="C"), nullable=False),
    Column("patient", Text(collation="C"), nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Index("idx_care_key_ix", "key"),
    Index("idx_care_actor_ix", "actor", "high", "low", "kind", "patient"),
    Index("idx_care_patient_ix", "patient", "actor", "high"),
)

# Search parameters of a site (docs/decisions/0010). One row each for a version of a
# parameter on a resource type; `parameter` is the key of the SearchParameter, `param`
# the id of its index rows, `definition` what is compiled. Its state is
#
#     pending -> indexing -> complete -> retired -> dropping -> (no row)
#                         -> failed
#
# and `reindex` the walk that it is in, or was in last.
search_coverage = Table(
    "search_coverage",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("parameter", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type_id", SmallInteger, nullable=False),
    Column("param", BigInteger, nullable=False),
    Column("definition", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("reindex", BigInteger),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Index("search_coverage_param_ix", "param", unique=True),
    Index("search_coverage_parameter_ix", "parameter"),
)

# One row: how often the search parameters in force have changed.
search_registry = Table(
    "search_registry",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

# A walk over the resources of a type; `whole` rebuilds all their rows. At most one waits
# (pending) and one goes on (running) for each type; others have ended.
reindex = Table(
    "reindex",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("type_id", SmallInteger, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(
        "reindex_open_ix",
        "type_id",
        "state",
        unique=True,
        postgresql_where=text("state IN ('pending', 'running')"),
    ),
)

# Ranges of keys, (cursor, last], that are yet to be walked; a row is locked by who walks it.
reindex_part = Table(
    "reindex_part",
    metadata,
    Column("reindex", BigInteger, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False, server_default="0"),
    Column("finished", Boolean, nullable=False, server_default="false"),
)

# What could not be indexed: `coverage` 0 in a walk that rebuilds. `error` has no values.
reindex_error = Table(
    "reindex_error",
    metadata,
    Column("reindex", BigInteger, primary_key=True),
    Column("coverage", BigInteger, primary_key=True),
    Column("key", BigInteger, primary_key=True),
    Column("error", Text, nullable=False),
)

# Sort values of token and reference parameters, one row a resource: {"<param>": value} with
# the least value of each, and with the greatest where that is another.
idx_code = Table(
    "idx_code",
    metadata,
    Column("key", BigInteger, nullable=False),
    Column("least", JSONB, nullable=False),
    Column("greatest", JSONB, nullable=False),
    Index("idx_code_key_ix", "key"),
)

# A closure table that a client has named ($closure). `version` only grows, also when the
# table is begun anew, so that no version means two states.
closure_table = Table(
    "closure_table",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text(collation="C"), nullable=False),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Index("closure_table_name_ix", "name", unique=True),
)

# The concepts of a closure table; `system_version` is empty where the client named none.
closure_concept = Table(
    "closure_concept",
    metadata,
    Column("closure", BigInteger, primary_key=True, autoincrement=False),
    Column("system", Text(collation="C"), primary_key=True),
    Column("system_version", Text(collation="C"), primary_key=True),
    Column("code", Text(collation="C"), primary_key=True),
)

# What was answered of a closure table, with the version since which it holds: how `code`
# stands to `target`, which is NULL where the code is unknown.
closure_entry = Table(
    "closure_entry",
    metadata,
    Column("closure", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("system", Text(collation="C"), nullable=False),
    Column("system_version", Text(collation="C"), nullable=False),
    Column("code", Text(collation="C"), nullable=False),
    Column("target", Text(collation="C")),
    Column("equivalence", Text, nullable=False),
    Index("closure_entry_version_ix", "closure", "version"),
)

# Resources sent to `$cache-control`, a JSON array in each row.
resource_cache = Table(
    "resource_cache",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("content", Text, nullable=False),
    Column("used", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("resource_cache_used_ix", "used"),
)

# `root` is the server's secret, NULL where a file holds it; `terms_key` the key of the index
# terms where it is not made of the secret; `fingerprint` tells whether a file holds the right one.
installation = Table(
    "installation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary),
    Column("terms_key", LargeBinary),
    Column("fingerprint", LargeBinary),
)

# Packages of conformance resources (docs/decisions/0025). `sha256` is of the archive, NULL for a
# directory; `content` the digest of the files in it, however they came; `dependencies` names to
# the version that was found, null for one that was left out.
package = Table(
    "package",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("canonical", Text, nullable=False),
    Column("sha256", Text),
    Column("content", Text, nullable=False),
    Column("examples", Boolean, nullable=False),
    Column("dependencies", JSONB, nullable=False),
    Column("installed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("installed_by", Text, nullable=False),
    Index("package_name_version_ix", "name", "version", unique=True),
)

# Which resource, and which version of it, is a package's file; `digest` is of the file.
# `brought`: it came with the package and goes with it.
package_resource = Table(
    "package_resource",
    metadata,
    Column(
        "package",
        BigInteger,
        ForeignKey("package.id", name="package_resource_package_fk", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("path", Text, primary_key=True),
    Column("key", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("brought", Boolean, nullable=False),
    Index("package_resource_key_ix", "key"),
)

# Codings that are or were in use; none goes. `since` tells which are new to a reader.
coding = Table(
    "coding",
    metadata,
    Column("param", Integer, primary_key=True, autoincrement=False),
    Column("term", BigInteger, primary_key=True, autoincrement=False),
    Column("system", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("since", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Index("coding_param_since_ix", "param", "since"),
)

# A request that is answered later, then its answer. `done` of `entries` tells how far a batch
# is; those of one lane are carried out one after the other.
asynchronous_request = Table(
    "asynchronous_request",
    metadata,
    Column("id", Text(collation="C"), primary_key=True),
    Column("caller", Text, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("method", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("entries", Integer),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("polled_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("status", SmallInteger),
    Column("answer_headers", JSONB),
    Column("answer", LargeBinary),
    Index(
        "asynchronous_request_lane_ix",
        "lane",
        "created_at",
        postgresql_where=text("finished_at IS NULL"),
    ),
    Index("asynchronous_request_expires_ix", "expires_at"),
)

# What became of an entry of a batch that is under way, written with what the entry writes.
asynchronous_entry = Table(
    "asynchronous_entry",
    metadata,
    Column(
        "request_id",
        Text(collation="C"),
        ForeignKey(
            "asynchronous_request.id", name="asynchronous_entry_request_fk", ondelete="CASCADE"
        ),
        primary_key=True,
    ),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("answer", LargeBinary, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("dedupe_key", Text),
    Column("payload", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="ready"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("published_at", DateTime(timezone=True)),
    Column("worker", Integer),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("error", Text),
    Index("job_due_ix", "due_at", "id", postgresql_where=text("state = 'ready'")),
    Index("job_running_ix", "kind", "dedupe_key", postgresql_where=text("state = 'running'")),
    Index(
        "job_ready_once_ix",
        "kind",
        "dedupe_key",
        unique=True,
        postgresql_where=text("state = 'ready'"),
    ),
)

# Consents that count (docs/decisions/0048): in status active, of scope patient-privacy. `key` is
# the Consent's, `patient` an id; times are microseconds since 1970 UTC. `denies`: one of its
# provisions does; `readable`: it is understood, else it denies all; `weight` is what
# `consent_weight` says of all resources, NULL where that depends on them or on who asks.
consent = Table(
    "consent",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("patient", Text(collation="C"), nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("denies", Boolean, nullable=False),
    Column("readable", Boolean, nullable=False),
    Column("weight", SmallInteger),
    Index("consent_patient_ix", "patient", "denies"),
    Index("consent_denies_ix", "key", postgresql_where=text("denies")),
)

# Provisions: `depth` counts from the rule that a consent begins with.
consent_node = Table(
    "consent_node",
    metadata,
    Column("consent", BigInteger, primary_key=True, autoincrement=False),
    Column("node", SmallInteger, primary_key=True, autoincrement=False),
    Column("depth", SmallInteger, nullable=False),
    Column("permit", Boolean, nullable=False),
)

# What must be so for a provision to count, that is its parts and those of the provisions around
# it; `kind` and what the columns are then is in search/consents.py.
consent_part = Table(
    "consent_part",
    metadata,
    Column("consent", BigInteger, primary_key=True, autoincrement=False),
    Column("node", SmallInteger, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("names", ARRAY(Text), nullable=False),
    Column("related", ARRAY(Text), nullable=False),
    Column("dependents", ARRAY(Text), nullable=False),
    Column("authors", ARRAY(Text), nullable=False),
    Column("terms", ARRAY(BigInteger), nullable=False),
    Column("types", ARRAY(SmallInteger), nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
)
