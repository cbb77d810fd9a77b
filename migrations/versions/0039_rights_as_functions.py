"""What is looked at for each resource that is about to be shown, as functions.

Revision 0039, after 0038.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0039"
down_revision: str | Sequence[str] | None = "0038"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Planned once by each session, where as parts of a search they would be planned with each.

# Whether one of the actors has a relationship now with a patient to whom the resource
# refers by `params`, or who it is itself, without any (search/relationship.py).
_CARED_FOR = """
CREATE FUNCTION cared_for(
    of_key bigint, actors text[], longest bigint, early bigint[], late bigint[],
    patient_type smallint, params bigint[]
) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000
  SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    moment bigint := (extract(epoch FROM now()) * 1000000)::bigint;
BEGIN
    IF params IS NULL THEN
        RETURN EXISTS (
            SELECT FROM resource r JOIN idx_care c ON c.patient = r.id
            WHERE r.key = of_key AND r.type_id = patient_type AND c.actor = ANY(actors)
              AND c.high > moment - longest
              AND c.high > moment - late[c.kind] AND c.low <= moment + early[c.kind]);
    END IF;
    RETURN EXISTS (
        SELECT FROM edge e JOIN idx_care c ON c.patient = e.target_id
        WHERE e.source_key = of_key AND e.param = ANY(params) AND e.target_type = patient_type
          AND c.actor = ANY(actors) AND c.high > moment - longest
          AND c.high > moment - late[c.kind] AND c.low <= moment + early[c.kind]);
END
$$
"""

# Whether a consent keeps the resource from who asks, as search/consents.py says it in SQL:
# where it is `permitted` unless a consent denies it, and where it is not.
_WITHHELD = """
CREATE FUNCTION consent_withholds(
    of_key bigint, patient_type smallint, params bigint[], permitted boolean, unread boolean,
    actor_types smallint[], actor_ids text[], upward bigint[], membership bigint[],
    ended bigint[], purposes text[], actions text[]
) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1000
  SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    moment bigint := (extract(epoch FROM now()) * 1000000)::bigint;
    patients text[];
BEGIN
    IF permitted AND params IS NOT NULL THEN
        -- The limit keeps PostgreSQL from weighing all consents for each resource.
        RETURN EXISTS (
            SELECT FROM edge e CROSS JOIN LATERAL (
                SELECT FROM consent c
                WHERE c.patient = e.target_id AND c.denies
                  AND c.low <= moment AND c.high > moment AND (unread OR c.readable)
                  AND coalesce(c.weight, consent_weight(
                      c.key, of_key, actor_types, actor_ids, upward, membership, ended,
                      purposes, actions)) % 2 = 1
                LIMIT 1) AS denial
            WHERE e.source_key = of_key AND e.param = ANY(params)
              AND e.target_type = patient_type);
    END IF;
    patients := CASE WHEN params IS NULL
        THEN ARRAY(SELECT r.id FROM resource r WHERE r.key = of_key AND r.type_id = patient_type)
        ELSE ARRAY(
            SELECT DISTINCT e.target_id FROM edge e
            WHERE e.source_key = of_key AND e.param = ANY(params)
              AND e.target_type = patient_type)
        END;
    IF permitted THEN
        RETURN EXISTS (
            SELECT FROM consent c
            WHERE c.patient = ANY(patients) AND c.denies
              AND c.low <= moment AND c.high > moment AND (unread OR c.readable)
              AND coalesce(c.weight, consent_weight(
                  c.key, of_key, actor_types, actor_ids, upward, membership, ended, purposes,
                  actions)) % 2 = 1);
    END IF;
    RETURN EXISTS (
        SELECT FROM unnest(patients) AS p(id)
        WHERE NOT coalesce((
            SELECT bool_and(NOT coalesce(c.weight, consent_weight(
                c.key, of_key, actor_types, actor_ids, upward, membership, ended, purposes,
                actions)) % 2 = 1)
            FROM consent c
            WHERE c.patient = p.id COLLATE "C" AND c.low <= moment AND c.high > moment
              AND (unread OR c.readable)), false));
END
$$
"""


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute(_CARED_FOR)
    op.execute(_WITHHELD)


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("DROP FUNCTION consent_withholds")
    op.execute("DROP FUNCTION cared_for")
