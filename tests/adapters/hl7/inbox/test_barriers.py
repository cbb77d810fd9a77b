from collections.abc import Sequence

import pytest

from adapters.hl7.inbox.barriers import claims


def waits(
    later: tuple[Sequence[str], str, str],
    earlier: tuple[Sequence[str], str, str],
    scope: str = "channel",
    same: dict[str, str] | None = None,
) -> bool:
    """Whether a message (keys, channel, event) waits for an earlier one."""
    first, second = (claims(*one, same or {}, scope=scope) for one in (earlier, later))
    return bool(second.waits & first.holds)


@pytest.mark.parametrize(
    ("later", "earlier", "scope", "expected"),
    [
        ((["A"], "x", "R01"), (["A"], "x", "R01"), "channel", True),
        ((["A"], "x", "R01"), (["B"], "x", "R01"), "channel", False),
        ((["A", "B"], "x", "R01"), (["B", "C"], "x", "R01"), "channel", True),
        ((["A"], "x", "R01"), (["A"], "y", "R01"), "channel", False),
        ((["A"], "x", "R01"), (["A"], "y", "R01"), "all", True),
        ((["A", "B"], "x", "A40"), (["A"], "y", "R01"), "channel", True),
        ((["A"], "x", "R01"), (["A", "B"], "y", "A40"), "channel", True),
        ((["B"], "x", "R01"), (["A", "B"], "y", "A40"), "channel", True),
        ((["C"], "x", "R01"), (["A", "B"], "y", "A40"), "channel", False),
        ((["A", "B"], "x", "A40"), (["B", "C"], "y", "A40"), "channel", True),
        ((["A"], "x", "A08"), (["A"], "y", "A08"), "channel", False),
        ((["by W", "A"], "x", "R01"), (["by W", "B"], "x", "R01"), "channel", True),
        ((["by W", "A"], "x", "R01"), (["by V", "A"], "x", "R01"), "channel", False),
        ((["by W", "A", "B"], "x", "A40"), (["by V", "A"], "x", "R01"), "channel", True),
    ],
)
def test_messages_wait_for_their_partition_and_for_barriers(
    later: tuple[Sequence[str], str, str],
    earlier: tuple[Sequence[str], str, str],
    scope: str,
    expected: bool,  # noqa: FBT001  (the table's column)
) -> None:
    assert waits(later, earlier, scope) is expected


def test_merged_patients_are_one_partition() -> None:
    later, earlier = (["A"], "x", "R01"), (["B"], "x", "R01")
    assert waits(later, earlier, same={"A": "A", "B": "A"})


@pytest.mark.parametrize(
    "event",
    [
        "A17",
        "A18",
        "A24",
        "A30",
        *(f"A{n}" for n in (*range(34, 38), *range(39, 48), *range(49, 52))),
    ],
)
def test_events_of_two_patients_are_barriers(event: str) -> None:
    assert claims(["A"], "x", event, {}, scope="channel").alone


@pytest.mark.parametrize("event", ["R01", "A08", "A31", "A38", "A48", "A54", ""])
def test_other_events_are_none(event: str) -> None:
    assert not claims(["A"], "x", event, {}, scope="channel").alone
