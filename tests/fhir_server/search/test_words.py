"""Words as PostgreSQL keeps them: so many places each, and none beyond the last."""

from fhir_server.search.words import LAST_PLACE, MOST_PLACES, Vector


def test_a_word_has_so_many_places_as_postgresql_keeps() -> None:
    vector = Vector()
    vector.add(["a"] * 1_000, "A")
    (entry,) = vector.literal().split(" ")
    assert entry == "'a':" + ",".join(f"{n}A" for n in range(1, MOST_PLACES + 1))


def test_what_comes_late_has_the_last_place() -> None:
    vector = Vector()
    vector.add([f"w{n}" for n in range(LAST_PLACE + 10)])
    assert vector.literal().endswith(f"'w{LAST_PLACE + 9}':{LAST_PLACE}")
