"""Where each resource of a package comes to lie in the store.

The id that a package gives is taken where it is free: another package, another version of
the same one, or a client may have something else there.

https://hl7.org/fhir/R4/references.html#canonical
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fhir_server.errors import Conflict, Issue
from fhir_server.interactions.draft import ID

MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Content:
    """What a file of a package is: its resource and the digests that tell it from others."""

    path: str
    type: str
    id: str | None
    canonical: str | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class There:
    """A resource that is stored. `digests` are those of what it was made of."""

    key: int
    id: str
    version: int
    digests: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Present:
    """What the store has: by canonical, by (type, id), and what an earlier install put there.

    `before` has the places of the files, by path, of an installation that is done again.
    """

    canonicals: Mapping[tuple[str, str], There]
    ids: Mapping[tuple[str, str], There]
    before: Mapping[str, There]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a file's resource goes. `there` is what is stored at that place, if anything.

    It is written unless it is `kept`: there is the same already, stored or of the same package.
    """

    path: str
    type: str
    id: str
    there: There | None
    kept: bool


def placed(
    contents: Sequence[Content], present: Present, new_id: Callable[[], str], *, replacing: bool
) -> list[Placed]:
    """Return the place of each, in their order.

    Conflict names the canonicals that are stored with another content, unless they are
    to be replaced.
    """
    taken: set[tuple[str, str]] = set()
    twins: dict[tuple[str, str, bytes], Placed] = {}
    made: list[Placed] = []
    conflicts: list[str] = []
    for one in contents:
        name = (one.type, one.canonical or f"#{one.id}", one.digest)
        found = _found(one, present)
        if name in twins:
            made.append(replace(twins[name], path=one.path, kept=True))
            continue
        if found is not None:
            kept = one.digest in found.digests
            if not (kept or replacing):
                conflicts.append(one.canonical or f"{one.type}/{one.id}")
            made.append(Placed(one.path, one.type, found.id, found, kept))
        else:
            id_ = one.id if one.id and _free(one, present, taken) else new_id()
            made.append(Placed(one.path, one.type, id_, None, kept=False))
        twins[name] = made[-1]
        taken.add((one.type, made[-1].id))
    _refuse(conflicts)
    return made


def _found(one: Content, present: Present) -> There | None:
    """Return the stored resource that the file is, by its canonical or as it came before."""
    if one.canonical:
        return present.canonicals.get((one.type, one.canonical))
    if one.path in present.before:
        return present.before[one.path]
    same = present.ids.get((one.type, one.id or ""))
    return same if same is not None and one.digest in same.digests else None


def _free(one: Content, present: Present, taken: Collection[tuple[str, str]]) -> bool:
    place = (one.type, one.id or "")
    return bool(ID.match(place[1])) and place not in present.ids and place not in taken


def _refuse(conflicts: Sequence[str]) -> None:
    if not conflicts:
        return
    text = "There is another content under the same canonical"
    issues = [Issue("error", "conflict", f"{text}: {one}") for one in conflicts[:MOST_TOLD]]
    count = f"{len(conflicts):,} resources are" if len(conflicts) > 1 else f"{conflicts[0]} is"
    raise Conflict(f"{count} stored with another content", issues=issues)


def refuse_doubles(contents: Iterable[Content]) -> None:
    """Conflict when two files of a package are one resource with different contents."""
    seen: dict[tuple[str, str], Content] = {}
    for one in contents:
        for name in {one.canonical, one.id and f"#{one.id}"} - {None, ""}:
            other = seen.setdefault((one.type, str(name)), one)
            if other.digest != one.digest:
                raise Conflict(f"{other.path} and {one.path} are the same resource, and differ")
