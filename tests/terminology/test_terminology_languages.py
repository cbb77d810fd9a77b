import pytest

from terminology.languages import Languages, covers, parse, rank


@pytest.mark.parametrize(
    ("text", "tags", "fallback"),
    [
        ("de", ("de",), True),
        ("en, en-AU; q=0.4", ("en", "en-AU"), True),
        ("it;q=0.1,de", ("de", "it"), True),
        ("de, *; q=0", ("de",), False),
        ("de,*", ("de",), True),
    ],
)
def test_ranges_are_ordered_by_weight(text: str, tags: tuple[str, ...], *, fallback: bool) -> None:
    assert parse(text) == Languages(text, tags, fallback)


@pytest.mark.parametrize("text", ["", "de;q=2", "de; en", "toolonglanguage", "d e"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="language ranges"):
        parse(text)


def test_a_range_covers_its_regions_only() -> None:
    assert [covers("de", tag) for tag in ("de", "de-CH", "DE-at", "deu", "en", None)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_exact_language_beats_its_region() -> None:
    asked = parse("de,en")
    assert [rank(asked, tag) for tag in ("de", "de-CH", "en", "fr")] == [0, 1, 2, None]
