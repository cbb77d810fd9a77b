import random

import pytest

from adapters.hl7.inbox.barriers import claims
from adapters.hl7.inbox.lanes import Line, Place, choose


def place(id_: int, *keys: str, event: str = "", due: bool = True, size: int = 1) -> Place:
    return Place(id_, claims(keys, "mllp", event, {}, scope="all"), due, size)


def chosen(places: list[Place], *flying: int, most: int = 9, room: int = 99) -> list[int]:
    group = choose(Line(places), flying, most=most, most_bytes=room).group
    return [one.id for one in group]


@pytest.mark.parametrize(
    ("places", "flying", "group"),
    [
        pytest.param([place(1, "A"), place(2, "B")], (), [1, 2], id="others together"),
        pytest.param([place(1, "A"), place(2, "A"), place(3, "B")], (), [1, 3], id="one once"),
        pytest.param([place(1, "A"), place(2, "A"), place(3, "B")], (1,), [3], id="flying"),
        pytest.param(
            [place(1, "A"), place(2, "A", "B"), place(3, "B")], (1,), [], id="behind one that waits"
        ),
        pytest.param([place(1, "A"), place(2, "A"), place(3, "B")], (2,), [3], id="replayed"),
        pytest.param([place(1, "A", due=False), place(2, "A"), place(3, "B")], (), [3], id="later"),
        pytest.param([place(1, "A"), place(2, "B", "C", event="A40")], (), [1], id="barrier next"),
        pytest.param([place(1, "B", "C", event="A40"), place(2, "A")], (), [1], id="barrier alone"),
        pytest.param([place(1, "B", "C", event="A40"), place(2, "A")], (1,), [], id="none passes"),
        pytest.param(
            [place(1, "A"), place(2, "A", "C", event="A40"), place(3, "B")],
            (1,),
            [],
            id="none passes one that waits for what is written",
        ),
        pytest.param(
            [place(1, "A", due=False), place(2, "A", "C", event="A40"), place(3, "B")],
            (),
            [3],
            id="all pass one that waits for a time",
        ),
    ],
)
def test_what_may_start(places: list[Place], flying: tuple[int, ...], group: list[int]) -> None:
    assert chosen(places, *flying) == group


def test_a_group_has_so_many_messages_and_bytes() -> None:
    places = [place(number, str(number), size=4) for number in range(1, 6)]
    assert chosen(places, most=2) == [1, 2]
    assert chosen(places, room=8) == [1, 2]
    assert chosen(places, room=1) == [1]


def test_what_only_waits_for_a_time_is_passed_up_to_the_first_that_starts() -> None:
    line = [place(1, "A", due=False), place(2, "A"), place(3, "B"), place(4, "C", due=False)]
    choice = choose(Line(line), (), most=9, most_bytes=9)
    assert (choice.passed, choice.left) == (2, {2})
    assert [one.id for one in choice.group] == [3]


def test_messages_behind_a_dead_letter_that_holds_wait() -> None:
    line = [place(1, "A"), place(3, "A"), place(4, "B")]
    holding = dict.fromkeys(place(2, "A").claims.holds, 2)
    choice = choose(Line(line, holding=holding), (), most=9, most_bytes=9)
    assert [one.id for one in choice.group] == [1, 4]
    choice = choose(Line(line[1:], holding=holding), (), most=9, most_bytes=9)
    assert (choice.left, choice.passed) == ({3}, 3)


@pytest.mark.parametrize("seed", range(40))
def test_processes_that_see_old_lines_never_overtake(seed: int) -> None:
    """Any number of them, each with a line as it was some time before, and any of them killed."""
    dice = random.Random(seed)
    everything = [
        place(number, *dice.sample("ABCDE", dice.choice([1, 1, 1, 2])), event=dice.choice(EVENTS))
        for number in range(1, 41)
    ]
    finished: list[int] = []
    flying: dict[int, list[Place]] = {}
    lines = [list(everything)]
    while len(finished) < len(everything):
        process = dice.randrange(3)
        if process in flying:
            group = flying.pop(process)
            if dice.random() < 0.8:  # else it was killed: nothing of it is finished
                finished += [one.id for one in group]
        else:
            claimed = {one.id for group in flying.values() for one in group}
            seen = dice.choice(lines[-2:])
            group = choose(Line(seen), claimed, most=3, most_bytes=99).group
            flying[process] = [one for one in group if one.id not in finished]
            others = [one for other, some in flying.items() if other != process for one in some]
            for one in flying[process]:
                assert not any(one.claims.waits & other.claims.holds for other in others)
        lines.append([one for one in everything if one.id not in finished])
    for later in everything:
        for earlier in everything[: later.id - 1]:
            if earlier.claims.holds & later.claims.waits:
                assert finished.index(earlier.id) < finished.index(later.id)


EVENTS = ("", "", "", "", "A40")


def test_what_is_being_written_is_waited_for_even_if_it_was_put_off_since() -> None:
    choice = choose(Line([place(1, "A", due=False), place(2, "A")]), {1}, most=9, most_bytes=9)
    assert (choice.busy, choice.left, choice.group) == (True, set(), [])
