from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from adapters.hl7.mapping import event_time
from adapters.hl7.mapping.context import Context
from adapters.hl7.message.tokenizer import parse
from tests.adapters.hl7.reading import profile

INDIA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("text", "offset", "zone", "expected"),
    [
        ("20260301123059", "", UTC, datetime(2026, 3, 1, 12, 30, 59, tzinfo=UTC)),
        ("20260301123059", "+05:30", UTC, datetime(2026, 3, 1, 7, 0, 59, tzinfo=UTC)),
        ("20260301123059", "", INDIA, datetime(2026, 3, 1, 7, 0, 59, tzinfo=UTC)),
        ("20260301123059-0800", "+05:30", UTC, datetime(2026, 3, 1, 20, 30, 59, tzinfo=UTC)),
        ("20260301123059.25", "", UTC, datetime(2026, 3, 1, 12, 30, 59, 250_000, tzinfo=UTC)),
        ("20260301123060", "", UTC, datetime(2026, 3, 1, 12, 31, tzinfo=UTC)),
        ("2026030112", "", UTC, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("20260301", "", INDIA, datetime(2026, 2, 28, 18, 30, tzinfo=UTC)),
        ("202603", "", UTC, datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026", "", UTC, datetime(2026, 1, 1, tzinfo=UTC)),
        ("yesterday", "", UTC, None),
        ("20261301", "", UTC, None),
    ],
)
def test_instant(text: str, offset: str, zone: tzinfo, expected: datetime | None) -> None:
    assert event_time.instant(text, offset, zone) == expected


def context(*segments: str) -> Context:
    return Context(parse("\r".join(segments)), profile())


def msh(kind: str) -> str:
    return f"MSH|^~\\&|A|B|C|D|20260109||{kind}|1|P|2.5.1"


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "segment", "expected"),
    [
        ("ADT^A01", "EVN||20260102||||20260101", 1),
        ("ADT^A01", "EVN||20260102", 2),
        ("ADT^A01", "EVN||", 9),
        ("ADT^A01", "EVN||junk", 9),
        ("MDM^T02", "TXA|1|||||20260104||20260103", 3),
        ("MDM^T02", "TXA|1|||||20260104", 4),
        ("ORU^R01", "EVN||20260102", 9),
    ],
)
def test_time_of_a_message(kind: str, segment: str, expected: int) -> None:
    assert event_time.of_message(context(msh(kind), segment)) == day(expected)


@pytest.mark.parametrize(
    ("obr", "expected"), [(f"OBR|1{'|' * 21}20260105", 5), ("OBR|1", 9), ("OBR|1|||||||", 9)]
)
def test_time_of_results(obr: str, expected: int) -> None:
    ctx = context(msh("ORU^R01"), obr)
    assert event_time.of_result(ctx, ctx.message.segments[1]) == day(expected)


@pytest.mark.parametrize(
    ("kind", "segment"),
    [
        ("ADT^A01", "EVN||20620101"),
        ("ADT^A01", "EVN||20260102||||20620101"),
        ("ORU^R01", f"OBR|1{'|' * 21}20620101"),
        ("OML^O21", "ORC|NW||||||||20620101"),
        ("MDM^T02", "TXA|1|||||||20620101"),
    ],
)
def test_time_long_after_the_message_is_none(kind: str, segment: str) -> None:
    ctx = context(msh(kind), segment)
    said = ctx.message.segments[1]
    find = {"ORU^R01": event_time.of_result, "OML^O21": event_time.of_order}.get(kind)
    found = find(ctx, said) if find else event_time.of_message(ctx)
    assert (found, ctx.warnings) == (day(9), {event_time.AHEAD: 1})


@pytest.mark.parametrize(("orc", "expected"), [("ORC|NW||||||||20260105", 5), ("ORC|NW", 9)])
def test_time_of_an_order(orc: str, expected: int) -> None:
    ctx = context(msh("OML^O21"), orc)
    assert event_time.of_order(ctx, ctx.message.segments[1]) == day(expected)
    assert event_time.of_order(ctx, None) == day(9)


def test_message_without_time_has_none() -> None:
    ctx = context("MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.5.1")
    assert event_time.of_message(ctx) is None
