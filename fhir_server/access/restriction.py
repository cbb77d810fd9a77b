"""Rights as a condition on the resources of a type.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from fhir_server.access import binary, openers
from fhir_server.access.care import CLOSED
from fhir_server.access.compiling import compiled
from fhir_server.access.inside import is_outside
from fhir_server.access.unanswerable import UnanswerableError
from fhir_server.errors import Forbidden, Unavailable
from fhir_server.rights import (
    AFTER,
    ANY,
    BEFORE,
    Grant,
    Having,
    Inside,
    Matching,
    Opened,
    Rights,
    Wall,
)
from fhir_server.search.condition import (
    ALWAYS,
    NEVER,
    Both,
    Coded,
    Condition,
    either,
)
from fhir_server.search.each import walled_nowhere
from fhir_server.search.registry import Registry
from fhir_server.search.terminology import Meant, codings, replaced
from fhir_server.server import Server

KEPT_SECONDS = 5.0
"""How long a compiled restriction is used again: limits may depend on the moment."""

_MOST = 2048
_READS = frozenset("rs")
_OF_UPDATES = frozenset((BEFORE, AFTER))


@dataclass(slots=True)
class _Kept:
    """What rights came to at some moment, by type and letter; None is a type that is forbidden.

    `answers` are what the terminology said at `answered` of the codings in the limits, which
    there are if it `asks`. `closed`: it is known that none of the `openers` has a glass open.
    `unions` are what several types came to (queries.py).
    """

    registry: Registry
    rights: Rights
    made: float
    asks: bool
    openers: frozenset[str]
    closed: bool = False
    found: dict[tuple[str, str], Condition | None] = field(default_factory=dict)
    unions: dict[tuple[tuple[str, ...], str], Condition] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin anew; who is at it still puts what it finds where nobody looks."""
        self.found, self.unions = {}, {}

    answers: Mapping[Coded, Meant] = field(default_factory=dict)
    answered: float = -math.inf


_kept: OrderedDict[tuple[int, int], _Kept] = OrderedDict()


def restriction(server: Server, rights: Rights, type_name: str, letter: str) -> Condition | None:
    """Return what resources of the type must meet for one of `LETTERS`; None: nothing.

    `NEVER` where no grant has the letter. Forbidden where a limit cannot be compiled for the
    type, as its parameter is unknown or not fully indexed: it is never dropped.
    """
    if not rights.walls:
        return None
    found = _found(server, rights, type_name, letter)
    if found is None:
        text = f"What you may see of {type_name} cannot be decided here"
        raise Forbidden(text, code="forbidden")
    return None if found == ALWAYS else found


def required(server: Server, rights: Rights, type_name: str, letter: str) -> Condition | None:
    """Return the same; Forbidden where nothing of the type is let through."""
    found = restriction(server, rights, type_name, letter)
    if found == NEVER:
        raise Forbidden(f"This is not among your rights: {type_name}.{letter}")
    return found


def unanswered(server: Server, rights: Rights) -> tuple[Coded, ...]:
    """Return the codings in the limits, if the terminology was not asked of them just now."""
    kept = _entry(server, rights)
    if not kept.asks or time.monotonic() - kept.answered <= KEPT_SECONDS:
        return ()
    found = (one for wall in rights.walls for grant in wall for one in _codings(server, grant))
    return tuple(dict.fromkeys(found))


def may_open(server: Server, rights: Rights) -> bool:
    """Return whether somebody may have a glass open by whom these rights are wider."""
    return bool(_entry(server, rights).openers)


def unions(server: Server, rights: Rights) -> dict[tuple[tuple[str, ...], str], Condition]:
    """Return where to keep what several types came to, by these and the letter, for a while."""
    return _entry(server, rights).unions


def answer(server: Server, rights: Rights, answers: Mapping[Coded, Meant]) -> None:
    """Take what the terminology says of the codings in the limits."""
    kept = _entry(server, rights)
    kept.answers, kept.answered = answers, time.monotonic()
    kept.forget()


def _asks(grant: Grant) -> bool:
    return any(
        ":" in name
        for limit in grant.limits
        if isinstance(limit, Matching | Having)
        for name, _ in limit.pairs
    )


def _codings(server: Server, grant: Grant) -> Iterator[Coded]:
    names = server.definitions.resource_types if grant.type == ANY else (grant.type,)
    for name in names if _asks(grant) else ():
        with suppress(UnanswerableError):
            for limit in grant.limits:
                yield from codings(compiled(server, limit, name))


def _found(server: Server, rights: Rights, type_name: str, letter: str) -> Condition | None:
    kept, asked = _entry(server, rights), (type_name, letter)
    found = kept.found
    if asked not in found:
        try:
            made = _compiled(server, rights, type_name, letter)
            found[asked] = _with_answers(made, kept.answers)
        except UnanswerableError:
            found[asked] = None
    return found[asked]


def _with_answers(condition: Condition, answers: Mapping[Coded, Meant]) -> Condition:
    """Return the condition without codings; Unavailable where it is not known what they mean."""
    if any(one not in answers for one in codings(condition)):
        raise Unavailable(_UNKNOWN, headers={"Retry-After": "5"})
    return replaced(condition, answers)


_UNKNOWN = "What your rights mean cannot be told now, as the terminology is away"


def _entry(server: Server, rights: Rights) -> _Kept:
    """Return what is kept of the rights; what is too old is begun anew but for its answers."""
    registry = server.registry
    # By identity: to hash what a role grants takes longer than what follows. What is kept
    # holds both, so that no others have their identities.
    key, now = (id(registry), id(rights)), time.monotonic()
    kept = _kept.get(key)
    if kept is None or now - kept.made > KEPT_SECONDS:
        kept = _new(registry, rights, now) if kept is None else replace(kept, made=now)
        kept.forget()
        _kept[key] = kept
        _kept.move_to_end(key)
        if len(_kept) > _MOST:
            _kept.popitem(last=False)
    if kept.openers and kept.closed != openers.have_none(server, kept.openers):
        kept.closed = not kept.closed
        kept.forget()
    return kept


def _new(registry: Registry, rights: Rights, now: float) -> _Kept:
    grants = [grant for wall in rights.walls for grant in wall]
    limits = (limit for grant in grants for limit in grant.limits)
    openers = frozenset(one.user for one in limits if isinstance(one, Opened))
    return _Kept(registry, rights, now, any(map(_asks, grants)), openers)


def _compiled(server: Server, rights: Rights, type_name: str, letter: str) -> Condition:
    if type_name != binary.TYPE:
        return walled_nowhere(_together(server, rights.walls, type_name, letter))

    # What belongs to a resource that is shown in part is of what is left out.
    whole = tuple(tuple(one for one in wall if not one.without) for wall in rights.walls)
    known = rights if whole == rights.walls else Rights(whole)

    def there(name: str) -> Condition:
        found = _found(server, known, name, binary.LETTERS[letter])
        return NEVER if found is None else found

    alone = _together(server, rights.walls, type_name, letter)
    beside = _together(server, tuple(map(_of_all, rights.walls)), type_name, letter)
    return walled_nowhere(binary.condition(server, alone, beside, there))


def _of_all(wall: Wall) -> Wall:
    """Return the wall without what limits it to patients."""
    return tuple(
        replace(one, limits=tuple(x for x in one.limits if not isinstance(x, binary.OF_PATIENTS)))
        for one in wall
    )


def _together(server: Server, walls: Sequence[Wall], type_name: str, letter: str) -> Condition:
    """Return what every wall lets through."""
    found = [_wall(server, wall, type_name, letter) for wall in walls]
    return _all(found)


def _all(found: Sequence[Condition]) -> Condition:
    """Return the conjunction; nothing else counts where nothing meets one of it."""
    for nothing in (NEVER, CLOSED):
        if nothing in found:
            return nothing
    kept = tuple(dict.fromkeys(one for one in found if one != ALWAYS))
    return kept[0] if len(kept) == 1 else Both(kept)


def _wall(server: Server, wall: Wall, type_name: str, letter: str) -> Condition:
    """Return the union of the grants; UnanswerableError where only such give the letter."""
    granted: list[Condition] = []
    unanswered: UnanswerableError | None = None
    for grant in wall:
        if _is_of(grant, type_name, letter):
            try:
                granted.append(_limited(server, grant, type_name, letter))
            except UnanswerableError as error:
                unanswered = error
    if ALWAYS in granted:
        return ALWAYS
    granted = [one for one in dict.fromkeys(granted) if one != NEVER]
    if unanswered is not None and not granted:
        raise unanswered
    return either([one for one in granted if one != CLOSED] or granted)


def _is_of(grant: Grant, type_name: str, letter: str) -> bool:
    return (
        letter in grant.letters or (letter in _OF_UPDATES and "u" in grant.letters)
    ) and grant.type in (type_name, ANY)


def _limited(server: Server, grant: Grant, type_name: str, letter: str) -> Condition:
    found: list[Condition] = []
    for limit in grant.limits:
        beside = isinstance(limit, Inside) and is_outside(server, limit, type_name)
        # What is beside a patient's record may be looked at, not changed.
        usable = letter in _READS or not beside
        found.append(compiled(server, limit, type_name) if usable else NEVER)
    return _all(found)
