import random
from array import array

import pytest

from terminology.loaders.ancestors import Cycle, closure_lines, parents_of, refuse_cycles


def closure(size: int, edges: set[tuple[int, int]]) -> set[tuple[int, int, int]]:
    """(ancestor, descendant, depth) as they are written."""
    below, above = (array("i", ones) for ones in zip(*sorted(edges), strict=True))
    parents = parents_of(size, below, above)
    refuse_cycles(parents)
    text = b"".join(block for _, block in closure_lines(parents)).decode()
    lines = [tuple(map(int, line.split("\t"))) for line in text.splitlines()]
    assert len(lines) == len(set(lines))
    return set(lines)  # type: ignore[arg-type]


def brute(size: int, edges: set[tuple[int, int]]) -> set[tuple[int, int, int]]:
    """The same by relaxing every edge until nothing changes."""
    depth = {(parent, child): 1 for child, parent in edges}
    for _ in range(size):
        for (middle, low), near in list(depth.items()):
            for child, parent in edges:
                if child == middle:
                    key = (parent, low)
                    depth[key] = min(depth.get(key, size), near + 1)
    return {(ancestor, descendant, least) for (ancestor, descendant), least in depth.items()}


@pytest.mark.parametrize("seed", range(8))
def test_the_closure_is_that_of_a_plain_algorithm(seed: int) -> None:
    chance = random.Random(seed)
    size = 14
    edges = {(child, chance.randrange(1, child)) for child in range(2, size + 1) for _ in range(2)}
    assert closure(size, edges) == brute(size, edges)


@pytest.mark.parametrize(
    ("edges", "numbers"),
    [
        ({(1, 1)}, [1]),
        ({(1, 2), (2, 1), (3, 1), (4, 5)}, [1, 2]),
        ({(2, 1), (3, 2), (1, 3), (1, 4)}, [1, 2, 3]),
    ],
    ids=["itself", "two with one below", "three with one above"],
)
def test_a_cycle_is_told_with_its_concepts(edges: set[tuple[int, int]], numbers: list[int]) -> None:
    with pytest.raises(Cycle) as caught:
        closure(5, edges)
    assert (caught.value.numbers, caught.value.count) == (numbers, len(numbers))
