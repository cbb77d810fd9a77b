"""Indexes by which what has ended of logins and grants is found.

Revision 0036, after 0035.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0036"
down_revision: str | Sequence[str] | None = "0035"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEXES = (
    ("identity_attempt_last_ix", "identity_attempt", "last_at"),
    ("identity_session_created_ix", "identity_session", "created_at"),
    ("identity_grant_client_ix", "identity_grant", "client_id"),
    ("identity_grant_created_ix", "identity_grant", "created_at"),
    ("identity_code_grant_ix", "identity_code", "grant_id"),
    ("identity_refresh_expires_ix", "identity_refresh", "expires_at"),
    ("revoked_token_at_ix", "revoked_token", "revoked_at"),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name, table, column in _INDEXES:
        op.create_index(name, table, [column])
    op.drop_index("identity_grant_service_ix", table_name="identity_grant")
    op.drop_index("identity_code_expires_ix", table_name="identity_code")


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.create_index("identity_code_expires_ix", "identity_code", ["expires_at"])
    op.create_index(
        "identity_grant_service_ix",
        "identity_grant",
        ["created_at"],
        postgresql_where=sa.text("user_id IS NULL"),
    )
    for name, table, _ in _INDEXES:
        op.drop_index(name, table_name=table)
