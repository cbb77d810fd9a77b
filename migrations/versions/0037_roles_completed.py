"""What rights look at, made of what was stored before there was any.

Revision 0037, after 0036.

Care relationships, the terms of documents that are signed, and the rows of consents come by jobs
that begin with the server. Until then nobody sees more for it: who cares for whom is not known,
documents without the terms are hidden, and an unread consent denies.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0037"
down_revision: str | Sequence[str] | None = "0036"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Appointment, CareTeam, DocumentReference, Encounter, MedicationRequest, Patient, ServiceRequest
# and Task, by the numbers of R4's types.
_WALKS = """
INSERT INTO reindex (type_id, whole, state)
SELECT t, true, 'pending' FROM unnest(ARRAY[5, 15, 42, 44, 79, 103, 124, 140]::smallint[]) AS t
WHERE EXISTS (SELECT FROM resource r WHERE r.type_id = t)
ON CONFLICT (type_id, state) WHERE state IN ('pending', 'running') DO NOTHING
"""

_WALK = """
INSERT INTO job (kind, dedupe_key, payload)
SELECT 'search.reindex', 'walk', '{}' WHERE EXISTS (SELECT FROM reindex WHERE state = 'pending')
ON CONFLICT DO NOTHING
"""

# 425981452 is the parameter Consent.patient, 29 and 103 are Consent and Patient. A consent that
# may be one of privacy, and of which nothing is known, denies all until the job has read it.
_UNREAD = """
WITH unread AS (
    INSERT INTO consent (key, patient, low, high, denies, readable, weight)
    SELECT r.key, whose.id, -4611686018427387904, 4611686018427387904, true, false, 1
    FROM resource r
         JOIN body b ON b.key = r.key AND b.version = r.version
         CROSS JOIN LATERAL (
             SELECT min(e.target_id) AS id FROM edge e
             WHERE e.source_key = r.key AND e.param = 425981452 AND e.target_type = 103
         ) AS whose
    WHERE r.type_id = 29 AND NOT r.deleted AND whose.id IS NOT NULL
      AND (strpos(b.json, 'patient-privacy') > 0 OR strpos(b.json, '\\u') > 0)
      AND NOT EXISTS (SELECT FROM consent c WHERE c.key = r.key)
    RETURNING key
),
denying AS (
    INSERT INTO consent_node (consent, node, depth, permit) SELECT key, 0, 0, false FROM unread
)
INSERT INTO job (kind, payload) SELECT 'consents.rebuild', '{}' WHERE EXISTS (SELECT FROM unread)
"""


def upgrade() -> None:
    """Bring the schema to this revision."""
    for statement in (_WALKS, _WALK, _UNREAD):
        op.execute(statement)


def downgrade() -> None:
    """Bring the schema back to the revision before: it has the same tables."""
