"""A resource judged by profiles, whose definitions and codes may have to be looked up.

Judging does not wait: it notes what it does not know, that is looked up, and the
resource is judged again, until nothing is left to be asked. A large resource is judged in
a thread, so that others are answered meanwhile.

https://hl7.org/fhir/R4/profiling.html
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fhir_server.config import ValidationSettings
from fhir_server.errors import Issue
from fhir_server.profiles.codings import Codings
from fhir_server.profiles.judging import Surroundings, validate_profiles
from fhir_server.profiles.seams import Nothing
from fhir_server.profiles.stored import Noted
from fhir_server.profiles.walk import Strictness
from fhir_server.server import Server
from terminology.memberships import Memberships, Question
from terminology.pausing import MANY, aside
from terminology.ucum.unit import unit

_ROUNDS: Final = 12
_MOST_ASKED: Final = 2_000
_BYTES: Final = 30  # of JSON text, for each object or list, at least


class _Codes:
    """Memberships that are known now; the others are noted."""

    __slots__ = ("_memberships", "asked")

    def __init__(self, memberships: Memberships) -> None:
        self._memberships = memberships
        self.asked: dict[Question, None] = {}

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Return whether the code is in the value set; None where that is not known."""
        question = Question(value_set, system or "", code)
        known, answer = self._memberships.known(question)
        if not known and len(self.asked) < _MOST_ASKED:
            self.asked[question] = None
        return answer


class Moment:
    """The time of a request: what is stored is the same for all that it judges."""

    __slots__ = ("_refreshed", "_stored")

    def __init__(self, server: Server) -> None:
        self._stored = server.stored_profiles
        self._refreshed = False

    async def refresh(self) -> None:
        """See what was written until now, if nothing was seen yet."""
        if not self._refreshed:
            await self._stored.refresh()
            self._refreshed = True


async def by_profiles(
    server: Server,
    data: Mapping[str, Any],
    canonicals: Iterable[str] = (),
    *,
    moment: Moment | None = None,
    size: int | None = None,
    advice: bool = False,
) -> list[Issue]:
    """Return what is wrong with a resource whose structure is sound.

    By these profiles, by those that it claims, and by the definitions of its extensions;
    with `advice` also what R4 means and states in no rule, as warnings. `size` is that of
    its text, where it is known, in bytes.
    """
    wanted = list(canonicals)
    size = _size(data) if size is None else size // _BYTES
    codings = Codings(server.vocabulary)
    strictness = _strictness(server.settings.validation, advice=advice)
    await (moment or Moment(server)).refresh()
    for _ in range(_ROUNDS):
        noted, codes = Noted(server.stored_profiles), _Codes(server.memberships)
        profiles = server.profiles.seen_through(noted)
        around = Surroundings(codes, Nothing(), unit, codings, strictness)
        issues = await aside(size, validate_profiles, profiles, data, wanted, around)
        if not noted.asked and not codes.asked and not codings.asked:
            break
        await server.stored_profiles.find(noted.asked)
        await server.memberships.find(codes.asked)
        await codings.find()
    return issues


def _size(data: Mapping[str, Any]) -> int:
    """Return how many objects and lists a resource has; it is not counted beyond many."""
    ahead: list[Any] = [data]
    count = 0
    while ahead and count <= MANY:
        one = ahead.pop()
        inside = one.values() if isinstance(one, dict) else one
        ahead += (inner for inner in inside if isinstance(inner, dict | list))
        count += 1
    return count


def _strictness(said: ValidationSettings, *, advice: bool) -> Strictness:
    return Strictness(
        unknown_extension=said.unknown_extensions,
        unknown_profile=said.unknown_profiles,
        advice="warning" if advice else None,
        vital_signs=said.vital_signs,
        examples=said.example_urls,
        markup=said.markup,
        taken=said.taken_extensions,
    )


async def is_known(server: Server, canonical: str) -> bool:
    """Return whether there is a profile of this canonical that a resource can be judged by."""
    await server.stored_profiles.refresh()
    for _ in range(_ROUNDS):
        noted = Noted(server.stored_profiles)
        found = server.profiles.seen_through(noted).get(canonical)
        if not noted.asked:
            return found is not None
        await server.stored_profiles.find(noted.asked)
    return False
