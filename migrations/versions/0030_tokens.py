"""Revoked tokens of other issuers, and a trace of what changes who may do what.

Revision 0030, after 0029.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0030"
down_revision: str | Sequence[str] | None = "0029"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_WATCHED = {
    "identity_user": "UPDATE OF active, roles, fhir_user OR DELETE",
    "identity_client": "INSERT OR UPDATE OF active, origins OR DELETE",
    "identity_session": "UPDATE OF ended_at OR DELETE",
    "identity_grant": "UPDATE OF ended_at OR DELETE",
    "identity_issued": "UPDATE OF revoked_at",
    "identity_signing_key": "INSERT OR UPDATE OR DELETE",
    "revoked_token": "INSERT OR DELETE",
    "role": "INSERT OR UPDATE OR DELETE",
}
# Rows are added and never changed, so that two transactions do not wait for each other, and a
# reader knows of a commit by the number of rows, whatever order they came in.
_FUNCTION = """
CREATE FUNCTION access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO access_change DEFAULT VALUES;
    DELETE FROM access_change WHERE id IN (
        SELECT id FROM access_change WHERE at < clock_timestamp() - interval '1 hour'
        ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
    );
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "revoked_token",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column(
            "revoked_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.PrimaryKeyConstraint("issuer", "jti", name="revoked_token_pk"),
    )
    op.create_table(
        "access_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.PrimaryKeyConstraint("id", name="access_change_pk"),
    )
    op.execute(_FUNCTION)
    for table, events in _WATCHED.items():
        op.execute(
            f"CREATE TRIGGER {table}_access AFTER {events} ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION access_changed()"
        )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for table in _WATCHED:
        op.execute(f"DROP TRIGGER {table}_access ON {table}")
    op.execute("DROP FUNCTION access_changed()")
    op.drop_table("access_change")
    op.drop_table("revoked_token")
