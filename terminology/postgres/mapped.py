"""Members of reference sets that lead from one code to another.

https://confluence.ihtsdotools.org/display/DOCRELFMT (Association and Map Reference Sets)
"""

from collections.abc import Collection

from terminology.implicit_maps import Mapped
from terminology.postgres.releases import Release
from terminology.postgres.rows import Connections, rows

NUMBER = "SELECT cid FROM tx.concept_{id} WHERE code = %s"
MEMBERS = """
SELECT c.code, m.map_target, t.display, coalesce(m.fields, '{{}}')
FROM tx.refset_member_{id} m
JOIN tx.concept_{id} c ON c.cid = m.cid
LEFT JOIN tx.concept_{id} t ON t.code = m.map_target AND m.fields ? 'targetComponentId'
WHERE m.refset = %s AND m.active AND {column} = ANY(%s::text[])
ORDER BY c.cid, length(m.fields ->> 'mapGroup'), m.fields ->> 'mapGroup',
         length(m.fields ->> 'mapPriority'), m.fields ->> 'mapPriority', m.map_target
"""


async def mapped(
    connections: Connections, release: Release, refset: str, codes: Collection[str], column: str
) -> list[Mapped] | None:
    """Active members whose column is one of the codes; None where this is no reference set."""
    found = await rows(connections, NUMBER.format(id=release.id), [refset])
    if not found or found[0][0] not in release.refsets:
        return None
    sql = MEMBERS.format(id=release.id, column=column)
    known = await rows(connections, sql, [found[0][0], list(codes)])
    return [Mapped(*row) for row in known]
