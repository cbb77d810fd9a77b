"""The ImagingStudy of each study, beside it, so that searches can ask who may see it.

Revision 0038, after 0037.
"""

from collections.abc import Sequence
from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op

revision: str = "0038"
down_revision: str | Sequence[str] | None = "0037"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAMESPACE = UUID("9d2f0c5e-7f0b-5c1d-8a44-3f6f5b1f7d52")
_AT_ONCE = 10_000
# Only what was shown has one; the others get it when they are.
_SHOWN = """
SELECT study_instance_uid FROM dicom_study
WHERE folds > 0 AND imaging_study IS NULL ORDER BY 1 LIMIT :most
"""
_PUT = """
UPDATE dicom_study AS s SET imaging_study = g.id
FROM unnest(CAST(:studies AS text[]), CAST(:ids AS text[])) AS g(study, id)
WHERE s.study_instance_uid = g.study
"""


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute('ALTER TABLE dicom_study ADD COLUMN imaging_study text COLLATE "C"')
    connection = op.get_bind()
    while True:
        rows = connection.execute(sa.text(_SHOWN), {"most": _AT_ONCE})
        studies = [row[0] for row in rows]
        if not studies:
            break
        ids = [str(uuid5(_NAMESPACE, f"study {one}")) for one in studies]
        connection.execute(sa.text(_PUT), {"studies": studies, "ids": ids})
    op.execute("CREATE INDEX dicom_study_imaging_ix ON dicom_study (imaging_study)")


def downgrade() -> None:
    """Bring the schema to the revision before."""
    op.execute("ALTER TABLE dicom_study DROP COLUMN imaging_study")
