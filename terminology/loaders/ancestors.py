"""Every ancestor of every concept by its least distance, one concept at a time.

What is held is the edges, never the pairs: SNOMED CT has some 6 million of them.
"""

from array import array
from collections.abc import Iterator, Sequence

_LINES = 40_000
SHOWN = 10


class Cycle(Exception):
    """Concepts that are their own ancestors; `numbers` are the first of them."""

    def __init__(self, numbers: list[int], count: int) -> None:
        super().__init__(f"{count} concepts are their own ancestors")
        self.numbers, self.count = numbers, count


Parents = Sequence[tuple[int, ...]]


def parents_of(size: int, children: "array[int]", parents: "array[int]") -> Parents:
    """The parents of each number up to `size`, without repetitions."""
    found: list[tuple[int, ...]] = [()] * (size + 1)
    for child, parent in zip(children, parents, strict=True):
        known = found[child]
        if parent not in known:
            found[child] = (*known, parent)
    return found


def refuse_cycles(parents: Parents) -> None:
    """Cycle when a concept is its own ancestor.

    Leaves are taken off until none is left (Kahn); what remains lies on a cycle or above one,
    and is told apart by taking off the roots as well.
    """
    children_left = [0] * len(parents)
    for ones in parents:
        for parent in ones:
            children_left[parent] += 1
    todo = [number for number, left in enumerate(children_left) if not left]
    taken = 0
    while todo:
        number = todo.pop()
        taken += 1
        for parent in parents[number]:
            children_left[parent] -= 1
            if not children_left[parent]:
                todo.append(parent)
    if taken < len(parents):
        left = {number for number, count in enumerate(children_left) if count}
        on_cycle = _without_roots(parents, left)
        raise Cycle(sorted(on_cycle)[:SHOWN], len(on_cycle))


def _without_roots(parents: Parents, left: set[int]) -> set[int]:
    while roots := {n for n in left if not any(parent in left for parent in parents[n])}:
        left = left - roots
    return left


def closure_lines(parents: Parents) -> Iterator[tuple[int, bytes]]:
    """Blocks of lines `ancestor, descendant, depth` for COPY, each with its last descendant.

    The edges have no cycle.
    """
    lines: list[str] = []
    add = lines.append
    for number, near in enumerate(parents):
        if not near:
            continue
        end = f"\t{number}\t"
        for ancestor, depth in _distances(parents, near).items():
            add(f"{ancestor}{end}{depth}\n")
        if len(lines) >= _LINES:
            yield number, "".join(lines).encode()
            lines.clear()
    if lines:
        yield len(parents) - 1, "".join(lines).encode()


def _distances(parents: Parents, near: tuple[int, ...]) -> dict[int, int]:
    seen: dict[int, int] = {}
    depth = 0
    layer: Sequence[int] = near
    while layer:
        depth += 1
        above: list[int] = []
        for number in layer:
            if number not in seen:
                seen[number] = depth
                above += parents[number]
        layer = above
    return seen
