"""Functions of rights that go by index, though they may be planned when nothing is stored yet.

Revision 0047, after 0046.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0047"
down_revision: str | Sequence[str] | None = "0046"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_FUNCTIONS = ("cared_for", "consent_withholds", "consent_weight")


# PostgreSQL 18 might skip through the index of targets, in place of that of the source.
_BY_TARGET, _BY_SOURCE = "e.target_type = patient_type", "e.target_type + 0 = patient_type"


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name in _FUNCTIONS:
        _replace(name, _BY_TARGET, _BY_SOURCE)
        op.execute(f"ALTER FUNCTION {name} SET enable_seqscan = off")


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    for name in _FUNCTIONS:
        op.execute(f"ALTER FUNCTION {name} RESET enable_seqscan")
        _replace(name, _BY_SOURCE, _BY_TARGET)


def _replace(name: str, text: str, other: str) -> None:
    """Make a function anew with another text in the place of one."""
    known = op.get_bind().exec_driver_sql(f"SELECT pg_get_functiondef('{name}'::regproc)")
    op.get_bind().exec_driver_sql(known.scalar_one().replace(text, other).replace("%", "%%"))
