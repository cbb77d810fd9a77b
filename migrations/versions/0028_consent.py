"""Consents as rows that searches read.

Revision 0028, after 0027.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision: str = "0028"
down_revision: str | Sequence[str] | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Consents from before are read by the worker as soon as it starts; 29 is the type.
_READ_ALL = """
INSERT INTO job (kind, payload)
SELECT 'consents.rebuild', '{}' WHERE EXISTS (SELECT FROM resource WHERE type_id = 29)
"""

# Planned once by each session, where as a part of each search it would be planned anew (1.3 ms).
_WEIGHT = """
CREATE FUNCTION consent_weight(
    of_consent bigint, of_key bigint, actor_types smallint[], actor_ids text[],
    upward bigint[], membership bigint[], ended bigint[], purposes text[], actions text[]
) RETURNS integer LANGUAGE plpgsql STABLE PARALLEL SAFE COST 10000
  SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    moment bigint := (extract(epoch FROM now()) * 1000000)::bigint;
BEGIN
    RETURN (
        WITH RECURSIVE belonging(type_id, id) AS (
            SELECT unnest(actor_types), unnest(actor_ids) COLLATE "C"
            UNION
            SELECT more.type_id, more.id FROM belonging b CROSS JOIN LATERAL (
                SELECT e.target_type AS type_id, e.target_id AS id
                FROM resource r JOIN edge e ON e.source_key = r.key
                WHERE r.type_id = b.type_id AND r.id = b.id AND e.param = ANY(upward)
                UNION ALL
                SELECT r.type_id, r.id
                FROM edge e
                     JOIN resource r ON r.key = e.source_key
                     JOIN terms t ON t.key = r.key
                WHERE e.target_type = b.type_id AND e.target_id = b.id
                  AND e.param = ANY(membership) AND NOT t.terms && ended
            ) more
        )
        SELECT max(n.depth * 2 + CASE WHEN n.permit THEN 0 ELSE 1 END)
        FROM consent_node n
        WHERE n.consent = of_consent AND NOT EXISTS (
            SELECT FROM consent_part p
            WHERE p.consent = n.consent AND p.node = n.node AND NOT CASE p.kind
                WHEN 1 THEN p.names && (SELECT array_agg(concat(b.type_id, '/', b.id))
                                        FROM belonging b)
                WHEN 2 THEN p.names && actions
                WHEN 3 THEN p.names && purposes
                WHEN 4 THEN p.low <= moment AND p.high > moment
                WHEN 5 THEN EXISTS (
                    SELECT FROM terms t
                    WHERE t.key = of_key AND (t.terms && p.terms OR t.type_id = ANY(p.types)))
                WHEN 6 THEN NOT EXISTS (
                    SELECT FROM terms t WHERE t.key = of_key AND t.terms && p.terms)
                WHEN 7 THEN EXISTS (
                    SELECT FROM idx_date d
                    WHERE d.key = of_key AND d.param = ANY(p.terms)
                      AND d.low >= p.low AND d.high <= p.high)
                WHEN 8 THEN coalesce((
                    SELECT bool_or(d.low < p.high AND d.high > p.low)
                    FROM idx_date d WHERE d.key = of_key AND d.param = ANY(p.terms)), true)
                WHEN 9 THEN EXISTS (
                    SELECT FROM resource r
                    WHERE r.key = of_key AND (
                        concat(r.type_id, '/', r.id) = ANY(p.names)
                        OR EXISTS (
                            SELECT FROM edge e JOIN resource s ON s.key = e.source_key
                            WHERE e.target_type = r.type_id AND e.target_id = r.id
                              AND concat(s.type_id, '/', s.id) = ANY(p.related))
                        OR EXISTS (
                            SELECT FROM edge e
                            WHERE e.source_key = r.key AND (
                                concat(e.target_type, '/', e.target_id) = ANY(p.dependents)
                                OR (e.param = ANY(p.terms) AND
                                    concat(e.target_type, '/', e.target_id) = ANY(p.authors))))))
                ELSE false
            END)
    );
END
$$
"""


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "consent",
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("patient", sa.Text(collation="C"), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("denies", sa.Boolean(), nullable=False),
        sa.Column("readable", sa.Boolean(), nullable=False),
        sa.Column("weight", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("consent_pk")),
    )
    op.create_index("consent_patient_ix", "consent", ["patient", "denies"])
    op.create_index("consent_denies_ix", "consent", ["key"], postgresql_where=sa.text("denies"))
    op.create_table(
        "consent_node",
        sa.Column("consent", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("depth", sa.SmallInteger(), nullable=False),
        sa.Column("permit", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("consent", "node", name=op.f("consent_node_pk")),
    )
    op.create_table(
        "consent_part",
        sa.Column("consent", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        *(
            sa.Column(name, ARRAY(sa.Text()), nullable=False)
            for name in ("names", "related", "dependents", "authors")
        ),
        sa.Column("terms", ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("types", ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consent", "node", "part", name=op.f("consent_part_pk")),
    )
    op.execute(_WEIGHT)
    op.execute(_READ_ALL)


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.execute("DROP FUNCTION consent_weight")
    op.drop_table("consent_part")
    op.drop_table("consent_node")
    op.drop_table("consent")
