"""The exact element to which each mark of a mapping led."""

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.explain.elements import SAME, Element, candidates, elements, fit, shared
from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.tracing import Trace
from adapters.hl7.message.tokenizer import Address

# A message may make thousands of resources of a type.
_NEAR: Final = 16
_OTHERS: Final = 64
_TRIES: Final = 16
_HOME: Final = 0.5
_NEW: Final = 0.25


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a leaf went: the resource by its full URL, the path in it, the value there.

    `exact` is False where what the mapping names is in no resource (it may be a
    reference that another message completes); `value` is None where the leaf is in
    several elements, whose common path it is then. `kind` is the type of the resource,
    which may be contained in that of the URL.
    """

    address: Address
    full_url: str
    path: str
    kind: str
    value: object = None
    url: str = ""
    exact: bool = True


@dataclass(slots=True)
class _Search:
    """What is looked through, and what was found so far."""

    parts: Mapping[str, tuple[str, list[Element]]]
    text: Callable[[Address], str]
    by_type: dict[str, list[str]] = field(default_factory=dict)
    wrote: dict[str, tuple[list[int], list[str]]] = field(default_factory=dict)
    claimed: set[tuple[str, str]] = field(default_factory=set)
    homes: dict[tuple[str, Address], str] = field(default_factory=dict)


def located(
    trace: Trace,
    resources: Iterable[tuple[str, Json]],
    text: Callable[[Address], str],
) -> list[Spot]:
    """Return the spots of all leaves that are mapped, in the order of their marks.

    `resources` are (full URL, resource) in the order of writing; `text` gives what a leaf
    says. A mark names an element without list positions: of the resource that was made
    next, else of any of its type, the leaf is where its value is.
    """
    parts = {url: (str(one["resourceType"]), elements(one)) for url, one in resources}
    search = _search(trace, parts, text)
    marks = list(_marks(trace))
    found: dict[int, Spot] = {}
    # What is there word for word tells where the rest of its repetition is.
    for strict in (True, False):
        for number, (place, address, path) in enumerate(marks):
            if number not in found and (spot := _spot(search, place, address, path, strict=strict)):
                found[number] = spot
    return [found[number] for number in sorted(found)]


def _search(
    trace: Trace,
    parts: Mapping[str, tuple[str, list[Element]]],
    text: Callable[[Address], str],
) -> _Search:
    search = _Search(parts, text)
    for url, (kind, _) in parts.items():
        search.by_type.setdefault(kind, []).append(url)
    for place, kind, url in trace.wrote:
        positions, urls = search.wrote.setdefault(kind, ([], []))
        positions.append(place)
        urls.append(url)
    return search


def _marks(trace: Trace) -> Iterator[tuple[int, Address, str]]:
    """Yield the marks that still hold, each place of a leaf once."""
    seen = set()
    for place, (address, path) in enumerate(trace.marks.log):
        if address in trace.marks and (address, path) not in seen:
            seen.add((address, path))
            yield place, address, path


def _spot(search: _Search, place: int, address: Address, path: str, *, strict: bool) -> Spot | None:
    """Return where the mark led; None where only a second look can tell."""
    text = search.text(address)
    best: tuple[float, str, Element] | None = None
    tied: list[tuple[str, Element]] = []
    tries = 0
    for url, held in _places(search, place, path.partition(".")[0]):
        # Some mappings name an element of whatever resource they fill (`meta.security`).
        wanted = path if path[:1].isupper() else f"{search.parts[url][0]}.{path}"
        found = candidates(held, wanted, text)
        tries += bool(found)
        for one in found:
            points = _points(search, url, one, address, text)
            if best is None or points > best[0]:
                best, tied = (points, url, one), []
            if points == best[0]:
                tied.append((url, one))
        if best is not None and (best[0] >= SAME or tries >= _TRIES):
            break
    if strict and (best is None or best[0] < SAME):
        return None
    if best is None:
        return Spot(address, "", path, path.partition(".")[0], exact=False)
    return _claimed(search, address, path, best, tied)


def _points(search: _Search, url: str, one: Element, address: Address, text: str) -> float:
    home = search.homes.get((url, (*address[:3], 0, 0)))
    at_home = home is not None and one.path.startswith(home)
    is_new = (url, one.path) not in search.claimed
    return fit(text, one.value) + _HOME * at_home + _NEW * is_new


def _claimed(
    search: _Search,
    address: Address,
    path: str,
    best: tuple[float, str, Element],
    tied: Sequence[tuple[str, Element]],
) -> Spot:
    points, url, one = best
    kind = one.plain.partition(".")[0]
    mine = [element for at, element in tied if at == url]
    if points < 1 and len(mine) > 1:
        # No value tells them apart: all that can be said is where they all are.
        common = shared([element.path for element in mine])
        return Spot(address, url, common if "." in common else path, kind)
    search.claimed.add((url, one.path))
    if "[" in one.path:
        home = one.path[: one.path.rindex("]") + 1] if points >= SAME else ""
        if home:
            search.homes.setdefault((url, (*address[:3], 0, 0)), home)
    return Spot(address, url, one.path, kind, one.value, one.url)


def _places(search: _Search, place: int, kind: str) -> Iterator[tuple[str, list[Element]]]:
    """Yield resources of a type, or that contain one, the likeliest first.

    These are the next that was made, those around it, and all others.
    """
    positions, urls = search.wrote.get(kind, ((), ()))
    start = bisect.bisect_left(positions, place + 1)
    near = (*urls[start : start + _NEAR], *reversed(urls[max(0, start - _NEAR) : start]))
    others = itertools.chain(search.by_type.get(kind, ()), search.parts)
    for url in dict.fromkeys((*near, *itertools.islice(others, _OTHERS))):
        if url in search.parts:
            yield url, search.parts[url][1]
