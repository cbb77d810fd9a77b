"""What is expected of searches is remembered for a while, of so many."""

from fhir_server.search import expected
from fhir_server.search.expected import Counting, Expected


def test_an_expectation_is_forgotten_after_its_time() -> None:
    now = [100.0]
    found = Expected(clock=lambda: now[0])
    assert found.keep("one", Counting(3, 1.5)) == Counting(3, 1.5)
    now[0] += expected.SECONDS - 1
    assert found.of("one") == Counting(3, 1.5)
    now[0] += 2
    assert found.of("one") is None


def test_of_so_many_the_oldest_is_forgotten() -> None:
    found = Expected(clock=lambda: 0.0)
    for number in range(expected.MOST + 1):
        found.keep(number, Counting(number, 0.0))
    assert [found.of(0), found.of(1)] == [None, Counting(1, 0.0)]
