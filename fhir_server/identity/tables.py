"""The tables of users, clients, sessions and grants.

Secrets of which there is nothing to guess (session cookies, codes, refresh tokens, launch
handles, client secrets) are kept as their SHA-256; what the server must read again (signing
keys, the seeds of second factors) is sealed. docs/decisions/0049 has the reasons.
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
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_ix",
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_uq",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
    }
)

_NOW = func.clock_timestamp()


def _texts(name: str) -> Column[Any]:
    return Column(name, ARRAY(Text), nullable=False, server_default="{}")


def _at(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=_NOW)


def _until(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False)


def _once(name: str) -> Column[Any]:
    """Return the column of what happens once, NULL until then."""
    return Column(name, DateTime(timezone=True))


def _yes_no(name: str, default: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default=text(default))


def _of(name: str, table: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Text, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=nullable)


# `name` is what a person types to log in, in lower case; `fhir_user` the reference to who it is
# (Practitioner/1). `seed` is the sealed secret of the second factor, `step` the last time step
# whose code was used; `recovery` are keyed hashes. `demo`: a sample user, of demo mode alone.
user = Table(
    "identity_user",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("display", Text, nullable=False),
    Column("fhir_user", Text),
    _texts("roles"),
    Column("password", Text, nullable=False),
    Column("seed", Text),
    Column("step", BigInteger),
    _texts("recovery"),
    _yes_no("demo", "false"),
    _yes_no("active", "true"),
    _at("created_at"),
    _at("password_at"),
)

# Failed attempts under a keyed hash of an account's name or of an address, known or not.
attempt = Table(
    "identity_attempt",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("failed", Integer, nullable=False, server_default="0"),
    _at("last_at"),
    _once("blocked_until"),
    Index("identity_attempt_last_ix", "last_at"),
)

session = Table(
    "identity_session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret", LargeBinary, nullable=False, unique=True),
    _of("user_id", "identity_user"),
    _at("created_at"),
    _at("seen_at"),
    _at("authenticated_at"),
    _texts("methods"),
    Column("address", Text, nullable=False, server_default=""),
    Column("device", Text, nullable=False, server_default=""),
    _once("ended_at"),
    Index("identity_session_user_ix", "user_id"),
    Index("identity_session_created_ix", "created_at"),
)

# Keys of authenticators (WebAuthn): `credential` is the key's id, `attested` what the
# authenticator said of it, with the public key, `count` its counter of signatures, `synced`
# whether it may be on several devices.
passkey = Table(
    "identity_passkey",
    metadata,
    Column("id", Text, primary_key=True),
    _of("user_id", "identity_user"),
    Column("credential", LargeBinary, nullable=False, unique=True),
    Column("attested", LargeBinary, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    _at("created_at"),
    _once("used_at"),
    Index("identity_passkey_user_ix", "user_id"),
)

# What an authenticator was asked to sign; its row goes when an answer comes.
challenge = Table(
    "identity_challenge",
    metadata,
    Column("secret", LargeBinary, primary_key=True),
    _of("user_id", "identity_user"),
    Column("purpose", Text, nullable=False),
    _until("expires_at"),
    Index("identity_challenge_expires_ix", "expires_at"),
)

# `authentication` is one of `none`, `client_secret_basic`, `private_key_jwt`; `scope` all that
# it may ask for; `grants` the grant types, and `launch`, `introspection` for who may do that.
# `preapproved`: the organisation has agreed, so that users are not asked.
client = Table(
    "identity_client",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("authentication", Text, nullable=False),
    Column("secret", LargeBinary),
    Column("keys", JSONB),
    Column("keys_url", Text),
    _texts("redirects"),
    _texts("origins"),
    _texts("grants"),
    Column("scope", Text, nullable=False),
    Column("launch_url", Text),
    _yes_no("preapproved", "false"),
    _yes_no("demo", "false"),
    _yes_no("active", "true"),
    _at("created_at"),
    Column("created_by", Text, nullable=False, server_default=""),
)

signing_key = Table(
    "identity_signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public", JSONB, nullable=False),
    Column("private", Text, nullable=False),
    _at("created_at"),
    _until("signs_from"),
    _once("withdrawn_at"),
)

# What a user (or for a backend service, nobody) let a client do; a family of tokens.
grant = Table(
    "identity_grant",
    metadata,
    Column("id", Text, primary_key=True),
    _of("client_id", "identity_client"),
    _of("user_id", "identity_user", nullable=True),
    _of("session_id", "identity_session", nullable=True),
    Column("scope", Text, nullable=False),
    Column("context", JSONB, nullable=False, server_default="{}"),
    _at("authenticated_at"),
    _at("created_at"),
    _once("ended_at"),
    Column("reason", Text, nullable=False, server_default=""),
    Index("identity_grant_user_ix", "user_id"),
    Index("identity_grant_session_ix", "session_id"),
    Index("identity_grant_client_ix", "client_id"),
    Index("identity_grant_created_ix", "created_at"),
)

code = Table(
    "identity_code",
    metadata,
    Column("secret", LargeBinary, primary_key=True),
    _of("grant_id", "identity_grant"),
    Column("redirect_uri", Text, nullable=False),
    Column("challenge", Text, nullable=False),
    Column("nonce", Text),
    _until("expires_at"),
    _once("used_at"),
    Index("identity_code_grant_ix", "grant_id"),
)

refresh = Table(
    "identity_refresh",
    metadata,
    Column("secret", LargeBinary, primary_key=True),
    _of("grant_id", "identity_grant"),
    Column("scope", Text, nullable=False),
    _at("created_at"),
    _until("expires_at"),
    _once("used_at"),
    Index("identity_refresh_grant_ix", "grant_id"),
    Index("identity_refresh_expires_ix", "expires_at"),
)

# Access tokens that have not expired, so that a grant's can be revoked.
issued = Table(
    "identity_issued",
    metadata,
    Column("jti", Text, primary_key=True),
    _of("grant_id", "identity_grant"),
    _until("expires_at"),
    _once("revoked_at"),
    Index("identity_issued_grant_ix", "grant_id"),
    Index("identity_issued_expires_ix", "expires_at"),
    Index(
        "identity_issued_revoked_ix", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")
    ),
)

# `context` is what the EHR has open; it counts for this user and client, if they are said.
launch = Table(
    "identity_launch",
    metadata,
    Column("secret", LargeBinary, primary_key=True),
    Column("context", JSONB, nullable=False),
    _of("user_id", "identity_user", nullable=True),
    _of("client_id", "identity_client", nullable=True),
    _until("expires_at"),
    _once("used_at"),
    Index("identity_launch_expires_ix", "expires_at"),
)

# The `jti`s of clients' assertions, each of which counts once.
assertion = Table(
    "identity_assertion",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    _until("expires_at"),
    Index("identity_assertion_expires_ix", "expires_at"),
)

# Access tokens of other issuers that count no more.
revoked_token = Table(
    "revoked_token",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    _at("revoked_at"),
    Index("revoked_token_at_ix", "revoked_at"),
)

# A row for each change of who may do what (triggers of migration 0030), kept for an hour:
# by these each process knows that what it remembers of tokens may hold no more.
access_change = Table(
    "access_change",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _at("at"),
)

# Requests of a minute (since 1970) under keyed hashes of who sent them, summed over all
# processes. It is not logged: after a crash the minute begins anew.
request_rate = Table(
    "request_rate",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, primary_key=True),
    Column("count", BigInteger, nullable=False),
    prefixes=["UNLOGGED"],
)
