"""Keys of authenticators as second factor, and requests counted for all processes.

Revision 0043, after 0042.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0043"
down_revision: str | Sequence[str] | None = "0042"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _at(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )


def _user(table: str) -> sa.Column[object]:
    name = f"{table}_user_id_fk"
    key = sa.ForeignKey("identity_user.id", ondelete="CASCADE", name=name)
    return sa.Column("user_id", sa.Text(), key, nullable=False)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "identity_passkey",
        sa.Column("id", sa.Text(), nullable=False),
        _user("identity_passkey"),
        sa.Column("credential", sa.LargeBinary(), nullable=False),
        sa.Column("attested", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("synced", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _at("created_at"),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="identity_passkey_pk"),
        sa.UniqueConstraint("credential", name="identity_passkey_credential_uq"),
    )
    op.create_index("identity_passkey_user_ix", "identity_passkey", ["user_id"])
    op.create_table(
        "identity_challenge",
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        _user("identity_challenge"),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("secret", name="identity_challenge_pk"),
    )
    op.create_index("identity_challenge_expires_ix", "identity_challenge", ["expires_at"])
    op.create_table(
        "request_rate",
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "key", name="request_rate_pk"),
        prefixes=["UNLOGGED"],
    )


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_table("request_rate")
    op.drop_table("identity_challenge")
    op.drop_table("identity_passkey")
