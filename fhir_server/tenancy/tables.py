"""The table of tenants, in a schema that no tenant may read."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "tenancy"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={"ck": "%(table_name)s_%(constraint_name)s_ck", "pk": "%(table_name)s_pk"},
)

# `settings` are those that differ from the installation's, as nested JSON; `former` the base URLs
# that an imported tenant had where it comes from. The state:
#
#     creating  -> active <-> suspended -> erasing -> (no row)
#     importing -----------------^
tenant = Table(
    "tenant",
    metadata,
    Column("name", Text, primary_key=True),
    Column("schema", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False, server_default="creating"),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    Column("max_resources", BigInteger),
    Column("max_bytes", BigInteger),
    Column("former", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint(
        "state IN ('creating', 'importing', 'active', 'suspended', 'erasing')", name="state"
    ),
)
