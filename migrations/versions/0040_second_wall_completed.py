"""Audit: appended to, and changed by nobody who serves.

Revision 0040, after 0039.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0040"
down_revision: str | Sequence[str] | None = "0039"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

AUDIT_EVENT = 7
"""The number of the type AuditEvent."""

# Whose session it is tells the login, which SET ROLE leaves as it is: that of the owner of the
# installation (who owns the register of tenants), in a session that says what it is for. A
# superuser could take the triggers away.
_KEEPER = """
CREATE FUNCTION audit_keeper() RETURNS boolean LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp
  RETURN EXISTS (SELECT FROM pg_catalog.pg_roles
                 WHERE rolname = session_user AND rolsuper)
      OR coalesce(pg_catalog.current_setting('sangam.keeping', true), '') = 'on'
         AND EXISTS (SELECT FROM pg_catalog.pg_class AS c
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                     WHERE n.nspname = 'tenancy' AND c.relname = 'tenant'
                       AND pg_catalog.pg_has_role(session_user, c.relowner, 'USAGE'))
"""

# What was recorded or linked has no other form, ever; the owner may let it go.
_KEPT = """
CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql
  SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF NOT audit_keeper() OR TG_OP = 'UPDATE' AND TG_ARGV[0] = 'for ever' AND NOT (
        SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user)
    THEN
        RAISE EXCEPTION 'what was audited is not changed' USING ERRCODE = '42501';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$
"""

# The end of the last day moves on, that of no other.
_HEAD = """
CREATE FUNCTION audit_head_grows() RETURNS trigger LANGUAGE plpgsql
  SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF (TG_OP = 'DELETE' OR NEW.day <> OLD.day OR NEW.links <= OLD.links
        OR EXISTS (SELECT FROM audit_head AS h WHERE h.day > OLD.day)) AND NOT audit_keeper()
    THEN
        RAISE EXCEPTION 'what was audited is not changed' USING ERRCODE = '42501';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$
"""

_BODY = """
CREATE FUNCTION audit_body_kept() RETURNS trigger LANGUAGE plpgsql
  SET search_path = {schema}, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM resource AS r WHERE r.key = OLD.key AND r.type_id = {type})
       AND NOT audit_keeper()
    THEN
        RAISE EXCEPTION 'what was audited is not changed' USING ERRCODE = '42501';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$
"""

# Before a row changes PostgreSQL would lock and fetch it for each update of any type; after it,
# a condition on the old row is all that others pay.
_TRIGGERS = (
    """CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit_record
       FOR EACH ROW EXECUTE FUNCTION audit_kept('for ever')""",
    """CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit_link
       FOR EACH ROW EXECUTE FUNCTION audit_kept('for ever')""",
    """CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit_head
       FOR EACH ROW EXECUTE FUNCTION audit_head_grows()""",
    """CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON body
       FOR EACH ROW EXECUTE FUNCTION audit_body_kept()""",
    """CREATE TRIGGER audit_kept AFTER UPDATE OR DELETE ON resource
       FOR EACH ROW WHEN (OLD.type_id = {type}) EXECUTE FUNCTION audit_kept()""",
)
_PARTITIONS = tuple(f"audit_record_{slot}" for slot in range(16))
_EMPTIED = ("audit_record", *_PARTITIONS, "audit_link", "audit_head", "body", "resource")


def upgrade() -> None:
    """Bring the schema to this revision."""
    (schema,) = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema)").one()
    op.execute(_KEEPER)
    for function in (_KEPT, _HEAD, _BODY):
        op.execute(function.format(schema=schema, type=AUDIT_EVENT))
    for trigger in _TRIGGERS:
        op.execute(trigger.format(type=AUDIT_EVENT))
    for table in _EMPTIED:
        op.execute(
            f"CREATE TRIGGER audit_emptied BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_kept()"
        )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for table in _EMPTIED:
        op.execute(f"DROP TRIGGER audit_emptied ON {table}")
    for table in ("audit_record", "audit_link", "audit_head", "body", "resource"):
        op.execute(f"DROP TRIGGER audit_kept ON {table}")
    for function in ("audit_body_kept", "audit_head_grows", "audit_kept", "audit_keeper"):
        op.execute(f"DROP FUNCTION {function}()")
