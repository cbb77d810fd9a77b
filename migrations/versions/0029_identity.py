"""Users, clients, sessions and grants.

Revision 0029, after 0028.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0029"
down_revision: str | Sequence[str] | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NOW = sa.text("clock_timestamp()")


def _id(name: str = "id") -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), primary_key=True)


def _secret() -> sa.Column[Any]:
    return sa.Column("secret", sa.LargeBinary(), primary_key=True)


def _text(name: str, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _texts(name: str) -> sa.Column[Any]:
    return sa.Column(name, postgresql.ARRAY(sa.Text()), nullable=False, server_default="{}")


def _at(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=_NOW)


def _until(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _once(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _yes_no(name: str, default: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.text(default))


def _of(name: str, table: str, owner: str, *, nullable: bool = False) -> sa.Column[Any]:
    key = sa.ForeignKey(f"{table}.id", name=f"{owner}_{name}_fk", ondelete="CASCADE")
    return sa.Column(name, sa.Text(), key, nullable=nullable)


def upgrade() -> None:
    """Bring the schema to this revision."""
    _people()
    _clients()
    _grants()


def _people() -> None:
    op.create_table(
        "identity_user",
        _id(),
        _text("name"),
        _text("display"),
        sa.Column("fhir_user", sa.Text()),
        _texts("roles"),
        _text("password"),
        sa.Column("seed", sa.Text()),
        sa.Column("step", sa.BigInteger()),
        _texts("recovery"),
        _yes_no("demo", "false"),
        _yes_no("active", "true"),
        _at("created_at"),
        _at("password_at"),
        sa.UniqueConstraint("name", name="identity_user_name_uq"),
    )
    op.create_table(
        "identity_attempt",
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("failed", sa.Integer(), nullable=False, server_default="0"),
        _at("last_at"),
        _once("blocked_until"),
    )
    op.create_table(
        "identity_session",
        _id(),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        _of("user_id", "identity_user", "identity_session"),
        _at("created_at"),
        _at("seen_at"),
        _at("authenticated_at"),
        _texts("methods"),
        _text("address", ""),
        _text("device", ""),
        _once("ended_at"),
        sa.UniqueConstraint("secret", name="identity_session_secret_uq"),
    )
    op.create_index("identity_session_user_ix", "identity_session", ["user_id"])


def _clients() -> None:
    op.create_table(
        "identity_client",
        _id(),
        _text("name"),
        _text("authentication"),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("keys", postgresql.JSONB()),
        sa.Column("keys_url", sa.Text()),
        _texts("redirects"),
        _texts("origins"),
        _texts("grants"),
        _text("scope"),
        sa.Column("launch_url", sa.Text()),
        _yes_no("preapproved", "false"),
        _yes_no("demo", "false"),
        _yes_no("active", "true"),
        _at("created_at"),
        _text("created_by", ""),
    )
    op.create_table(
        "identity_signing_key",
        _id("kid"),
        sa.Column("public", postgresql.JSONB(), nullable=False),
        _text("private"),
        _at("created_at"),
        _until("signs_from"),
        _once("withdrawn_at"),
    )
    op.create_table("identity_assertion", _id("client_id"), _id("jti"), _until("expires_at"))
    op.create_index("identity_assertion_expires_ix", "identity_assertion", ["expires_at"])


def _grants() -> None:
    op.create_table(
        "identity_grant",
        _id(),
        _of("client_id", "identity_client", "identity_grant"),
        _of("user_id", "identity_user", "identity_grant", nullable=True),
        _of("session_id", "identity_session", "identity_grant", nullable=True),
        _text("scope"),
        sa.Column("context", postgresql.JSONB(), nullable=False, server_default="{}"),
        _at("authenticated_at"),
        _at("created_at"),
        _once("ended_at"),
        _text("reason", ""),
    )
    op.create_index("identity_grant_user_ix", "identity_grant", ["user_id"])
    op.create_index("identity_grant_session_ix", "identity_grant", ["session_id"])
    op.create_index(
        "identity_grant_service_ix",
        "identity_grant",
        ["created_at"],
        postgresql_where=sa.text("user_id IS NULL"),
    )
    op.create_table(
        "identity_code",
        _secret(),
        _of("grant_id", "identity_grant", "identity_code"),
        _text("redirect_uri"),
        _text("challenge"),
        sa.Column("nonce", sa.Text()),
        _until("expires_at"),
        _once("used_at"),
    )
    op.create_index("identity_code_expires_ix", "identity_code", ["expires_at"])
    op.create_table(
        "identity_refresh",
        _secret(),
        _of("grant_id", "identity_grant", "identity_refresh"),
        _text("scope"),
        _at("created_at"),
        _until("expires_at"),
        _once("used_at"),
    )
    op.create_index("identity_refresh_grant_ix", "identity_refresh", ["grant_id"])
    op.create_table(
        "identity_issued",
        _id("jti"),
        _of("grant_id", "identity_grant", "identity_issued"),
        _until("expires_at"),
        _once("revoked_at"),
    )
    op.create_index("identity_issued_grant_ix", "identity_issued", ["grant_id"])
    op.create_index("identity_issued_expires_ix", "identity_issued", ["expires_at"])
    op.create_index(
        "identity_issued_revoked_ix",
        "identity_issued",
        ["revoked_at"],
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "identity_launch",
        _secret(),
        sa.Column("context", postgresql.JSONB(), nullable=False),
        _of("user_id", "identity_user", "identity_launch", nullable=True),
        _of("client_id", "identity_client", "identity_launch", nullable=True),
        _until("expires_at"),
        _once("used_at"),
    )
    op.create_index("identity_launch_expires_ix", "identity_launch", ["expires_at"])


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for name in ("launch", "issued", "refresh", "code", "grant", "assertion", "signing_key"):
        op.drop_table(f"identity_{name}")
    for name in ("client", "session", "attempt", "user"):
        op.drop_table(f"identity_{name}")
