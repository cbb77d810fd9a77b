"""The tables of loaded code systems, in a schema of their own.

Each release of a code system is one row of `code_system` with an id of its own, `cs_id`, and one
partition of every other table (partitions.py), so that it is loaded beside those that serve,
and leaves whole. Nobody sees it before its `state` is `current`.

Concepts have numbers, `cid`, from 1 on in the order of their codes (by code point): ties by
code are ties by `cid`. `seq` is the definition order. What depends on a place in a list (the
use of a designation, the definition of a property) counts from 0.

https://hl7.org/fhir/R4/codesystem.html
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "tx"
CODE = Text(collation="C")

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={"ix": "%(table_name)s_%(column_0_N_name)s_ix", "pk": "%(table_name)s_pk"},
)

# `resource` is the CodeSystem without its concepts, `uses` the Codings of designation uses,
# `source` what it was loaded from (files, checksums, licence accepted, rows). `state` is
#
#     loading -> current -> retired -> (no row)
#             -> failed
#
# `concepts` counts them, `hierarchical` says that there are edges, `grammar` that expressions
# are codes as well.
code_system = Table(
    "code_system",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("url", CODE, nullable=False),
    Column("version", CODE, nullable=False),
    Column("tenant", CODE, nullable=False, server_default=""),
    Column("state", Text, nullable=False, server_default="loading"),
    Column("content", Text, nullable=False, server_default="complete"),
    Column("case_sensitive", Boolean, nullable=False, server_default="true"),
    Column("hierarchy_meaning", Text),
    Column("hierarchical", Boolean, nullable=False, server_default="false"),
    Column("grammar", Boolean, nullable=False, server_default="false"),
    Column("status", Text),
    Column("language", Text),
    Column("resource", JSONB, nullable=False),
    Column("uses", JSONB, nullable=False, server_default="[]"),
    Column("source", JSONB, nullable=False, server_default="{}"),
    Column("concepts", Integer, nullable=False, server_default="0"),
    Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(
        "code_system_url_version_tenant_ix",
        "url",
        "version",
        "tenant",
        unique=True,
        postgresql_where=text("state = 'current'"),
    ),
)


def _partitioned(name: str, *columns: Column[Any] | Index) -> Table:
    return Table(
        name,
        metadata,
        Column("cs_id", Integer, nullable=False),
        *columns,
        postgresql_partition_by="LIST (cs_id)",
    )


# `active` is false for inactive concepts, `abstract` true for those not selectable; `status` as
# in R4's property of that name, where there is one.
concept = _partitioned(
    "concept",
    Column("cid", Integer, nullable=False),
    Column("code", CODE, nullable=False),
    Column("display", Text),
    Column("definition", Text),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("abstract", Boolean, nullable=False, server_default="false"),
    Column("status", Text),
    Column("seq", Integer, nullable=False),
    # What is looked for goes first: a partition has one `cs_id`.
    Index("concept_cid_ix", "cid", "cs_id", unique=True),
    Index("concept_code_ix", "code", "cs_id", unique=True),
    Index("concept_seq_ix", "seq"),
    Index("concept_lower_ix", text("lower(code)")),
)

# Texts but the display. `use_id` is a place in the `uses` of the code system. `preferred` comes
# first in its language. `fields` is what a source says beyond: for SNOMED CT {"id": description,
# "type": …, "module": …, "effectiveTime": …, "dialects": {"<language refset>": "preferred"}}.
designation = _partitioned(
    "designation",
    Column("cid", Integer, nullable=False),
    Column("language", Text),
    Column("use_id", SmallInteger),
    Column("term", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("preferred", Boolean, nullable=False, server_default="false"),
    Column("fields", JSONB),
    Index("designation_cid_ix", "cid"),
)

# Texts to search, displays (`language` NULL: they count in every language) and designations:
# what texts.py makes of them. A partition has a GIN index over `words`.
search_text = _partitioned(
    "search_text",
    Column("cid", Integer, nullable=False),
    Column("language", Text),
    Column("folded", Text, nullable=False),
    Column("words", Text, nullable=False),
)

# The direct edges of the hierarchy.
edge = _partitioned(
    "edge",
    Column("child", Integer, nullable=False),
    Column("parent", Integer, nullable=False),
    Index("edge_child_parent_ix", "child", "parent"),
    Index("edge_parent_child_ix", "parent", "child"),
)

# Every ancestor of every concept, by its least distance (1 = a parent); none is its own.
closure = _partitioned(
    "closure",
    Column("ancestor", Integer, nullable=False),
    Column("descendant", Integer, nullable=False),
    Column("depth", SmallInteger, nullable=False),
    Index("closure_ancestor_descendant_ix", "ancestor", "descendant"),
    Index("closure_descendant_ancestor_ix", "descendant", "ancestor"),
)

# Values of properties, SNOMED CT's attributes too: `prop_id` is a place in the `property` list
# of the code system's resource, `group_no` the role group (0 = none). One value column is set:
# `value_cid` for a concept of the same system, `value_code` for another code (a Coding has its
# `value_system` and its display in `value_text`), `value_date` for a FHIR date or dateTime.
property_ = _partitioned(
    "property",
    Column("cid", Integer, nullable=False),
    Column("prop_id", SmallInteger, nullable=False),
    Column("group_no", SmallInteger, nullable=False, server_default="0"),
    Column("value_code", CODE),
    Column("value_cid", Integer),
    Column("value_text", Text),
    Column("value_num", Numeric),
    Column("value_bool", Boolean),
    Column("value_date", CODE),
    Column("value_system", Text),
    Index("property_cid_prop_id_ix", "cid", "prop_id"),
    Index(
        "property_value_cid_ix",
        "prop_id",
        "value_cid",
        "cid",
        postgresql_where=text("value_cid IS NOT NULL"),
    ),
    Index(
        "property_value_code_ix",
        "prop_id",
        "value_code",
        "cid",
        postgresql_where=text("value_code IS NOT NULL"),
    ),
)

# Members of reference sets, which are concepts too; `fields` are the columns of the refset's
# own (a map's target is `mapTarget`).
refset_member = _partitioned(
    "refset_member",
    Column("refset", Integer, nullable=False),
    Column("cid", Integer, nullable=False),
    Column("active", Boolean, nullable=False, server_default="true"),
    Column("map_target", CODE),
    Column("fields", JSONB),
    Index("refset_member_refset_cid_ix", "refset", "cid"),
    Index("refset_member_cid_ix", "cid"),
)

PARTITIONED = tuple(one.name for one in metadata.sorted_tables if one.name != code_system.name)
