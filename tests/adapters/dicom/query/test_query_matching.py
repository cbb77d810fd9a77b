import pytest

from adapters.dicom.query.conditions import like
from adapters.dicom.query.matching import (
    Between,
    Exact,
    Match,
    Universal,
    Wild,
    high_moment,
    high_time,
    low_moment,
    low_time,
    text_match,
)


@pytest.mark.parametrize(
    ("vr", "values", "match"),
    [
        ("LO", [], Universal()),
        ("LO", [""], Universal()),
        ("LO", ["*"], Universal()),
        ("LO", ["a*"], Wild("a*")),
        ("CS", ["?"], Wild("?")),
        ("UI", ["1.*"], Exact(("1.*",))),
        ("UI", ["1.1", "1.2"], Exact(("1.1", "1.2"))),
        ("IS", ["1*"], Exact(("1*",))),
        ("PN", ["DÖE^JOHN^^"], Exact(("doe^john",))),
        ("PN", ["=山田^太郎"], Exact(("山田^太郎",))),
        ("PN", ["*=山田*"], Wild("山田*")),
        ("PN", ["*^*=*=ヤマダ"], Exact(("ヤマタ",))),
        ("DA", ["20260101"], Between("20260101", "20260101")),
        ("DA", ["20260101-"], Between("20260101", "")),
        ("DA", ["-20260101"], Between("", "20260101")),
        ("DA", ["20260101 - 20260102"], Between("20260101", "20260102")),
        ("DA", ["-"], Universal()),
        ("TM", ["10-11"], Between("10", "11")),
        ("DT", ["20260101-20260102"], Between("20260101", "20260102")),
        ("DT", ["2026-2027"], Between("2026", "2027")),
        ("DT", ["20260101-0500"], Between("20260101-0500", "20260101-0500")),
        ("DT", ["20260101-0500-"], Between("20260101-0500", "")),
        ("DT", ["-20260101-0500"], Between("", "20260101-0500")),
        ("DT", ["20260101-0500-20260102-0500"], Between("20260101-0500", "20260102-0500")),
    ],
)
def test_a_value_asks_for(vr: str, values: list[str], match: Match) -> None:
    assert text_match(vr, values) == match


@pytest.mark.parametrize(
    ("pattern", "sql"), [("a*b?", "a%b_"), ("100%_\\", "100\\%\\_\\\\"), ("*%*", "%\\%%")]
)
def test_wildcards_are_the_only_wildcards(pattern: str, sql: str) -> None:
    assert like(pattern) == sql


def test_times_without_their_end_are_the_whole_of_it() -> None:
    assert (low_time("10"), high_time("10")) == ("100000.000000", "105959.999999")
    assert (low_time("10:30"), high_time("103000.5")) == ("103000.000000", "103000.599999")
    assert (low_moment("2026"), high_moment("202602+0530")) == (
        "20260101000000.000000",
        "20260231235959.999999",
    )
