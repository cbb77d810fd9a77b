"""The filter `constraint` of SNOMED CT: an expression constraint.

https://hl7.org/fhir/R4/snomedct.html#4.3.1.0.6
"""

from collections.abc import Iterable, Mapping

from terminology.ecl.compile import compile_ecl
from terminology.ecl.cursor import CostlyEcl, InvalidEcl
from terminology.ecl.members import Ground, Known
from terminology.ecl.parse import parse
from terminology.ecl.refsets import PROFILES
from terminology.ecl.syntax import Expression, references
from terminology.ecl.unsupported import UnsupportedEcl
from terminology.filters import Filter, UnsupportedFilter
from terminology.issues import Refusal, refusal
from terminology.postgres.conditions import Condition
from terminology.postgres.releases import Release
from terminology.postgres.rows import Connections, rows
from terminology.recent import Recent

SNOMED = "http://snomed.info/sct"
KEPT = 500
"""Expressions whose SQL is kept."""

MANY = 5_000
"""Concepts below another that are not listed to find one of them."""
LARGER = """
SELECT c.cid FROM unnest(%s::int[]) AS c(cid), LATERAL (
    SELECT count(*) AS below FROM (
        SELECT FROM tx.closure_{id} WHERE ancestor = c.cid LIMIT %s) AS first) AS n
WHERE n.below >= %s
"""

HISTORY = frozenset(code for codes in PROFILES.values() for code in codes)


class Constraints:
    """What expression constraints ask of the concepts of loaded releases."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._conditions: Recent[tuple[int, str], Condition] = Recent(KEPT)
        self._attributes: Recent[int, Mapping[int, int]] = Recent(KEPT)

    async def __call__(self, release: Release, asked: Filter) -> Condition:
        """The condition on a concept, the row `c`.

        Refusal for an expression that is invalid, too costly or not supported, UnsupportedFilter
        for a system without such expressions.
        """
        if asked.op != "=" or release.head.url != SNOMED:
            raise UnsupportedFilter(asked, "an expression constraint is `=` one of SNOMED CT")
        key = release.id, asked.value or ""
        known = self._conditions.get(key)
        if known is None:
            known = await self._compiled(release, asked)
            self._conditions.put(key, known)
        return known

    async def _compiled(self, release: Release, asked: Filter) -> Condition:
        try:
            expression = parse(asked.value or "")
            ground = await self._ground(release, expression)
            found = compile_ecl(ground, expression)
        except InvalidEcl as error:
            raise invalid(error, asked) from error
        except CostlyEcl as error:
            raise refusal("ECL_TOO_COSTLY", asked.path, reason=str(error)) from error
        except UnsupportedEcl as error:
            raise refusal("ECL_NOT_SUPPORTED", asked.path, feature=str(error)) from error
        # A value is never turned into a join with the whole list: few are asked about one by one.
        one = f"(SELECT TRUE FROM ({found.text}) AS e WHERE e.cid = c.cid LIMIT 1) IS TRUE"
        return Condition(one, found.values, (found.text,))

    async def _ground(self, release: Release, expression: Expression) -> Ground:
        codes = {one.code for one in references(expression)} | HISTORY
        properties = {one.code: place for place, one in enumerate(release.head.properties)}
        known = await self._known(release, codes)
        return Ground(
            release.id,
            known,
            properties,
            await self._attributes_of(release, properties),
            await self._large(release, [one.cid for one in known.values()]),
        )

    async def _known(self, release: Release, codes: Iterable[str]) -> dict[str, Known]:
        found = await rows(
            self._connections,
            f"SELECT code, cid, active FROM tx.concept_{release.id} WHERE code = ANY(%s)",
            [list(codes)],
        )
        return {code: Known(cid, active) for code, cid, active in found}

    async def _large(self, release: Release, cids: list[int]) -> frozenset[int]:
        sql = LARGER.format(id=release.id)
        found = await rows(self._connections, sql, [cids, MANY, MANY])
        return frozenset(row[0] for row in found)

    async def _attributes_of(
        self, release: Release, properties: Mapping[str, int]
    ) -> Mapping[int, int]:
        """The concept of each property that is one, by its number."""
        known = self._attributes.get(release.id)
        if known is None:
            concepts = await self._known(release, properties)
            known = {
                place: concepts[code].cid for code, place in properties.items() if code in concepts
            }
            self._attributes.put(release.id, known)
        return known


def invalid(error: InvalidEcl, asked: Filter) -> Refusal:
    """The refusal of a text that is no expression; characters are counted from 1."""
    return refusal("INVALID_ECL", asked.path, position=error.at + 1, reason=error.reason)
