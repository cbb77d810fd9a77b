"""A figure that may be the generator's own carries a mark."""

from benchmarks.report import Row, cells, flagged


def test_a_generator_near_its_ceiling_is_flagged() -> None:
    assert flagged(Row("read", 8, 20_000, "req/s", share=0.6, generator_cores=0.3))
    assert flagged(Row("read", 8, 9_000, "req/s", share=0.2, generator_cores=0.7))


def test_a_cheap_generator_is_not_flagged() -> None:
    assert not flagged(Row("read", 8, 3_000, "req/s", share=0.1, generator_cores=0.1))
    assert not flagged(Row("C-STORE", 1, 170, "inst/s"))


def test_the_ceiling_itself_is_no_finding() -> None:
    assert not flagged(Row("(ceiling of the generator)", 8, 50_000, "req/s", generator_cores=0.98))


def test_what_was_not_measured_is_shown_as_such() -> None:
    assert cells(Row("C-STORE", 1, 170.4, "inst/s"))[2:] == [
        "170 inst/s",
        "-",
        "-",
        "-",
        "0",
        "-/-/-/-",
        "-/-",
        "",
    ]
