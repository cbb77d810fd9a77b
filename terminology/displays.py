"""Displays of a concept: the one to show in a language, and whether one given is right.

https://hl7.org/fhir/R4/codesystem.html#designations
"""

from collections.abc import Iterator
from dataclasses import dataclass

from terminology.concepts import Concept, Designation
from terminology.issues import Issue, issue
from terminology.languages import Languages, rank
from terminology.value_set import ConceptReference

# Uses of a designation that make it a display; a designation without a use is one too.
FULL_NAME = "900000000000003001"
DISPLAY_USES = frozenset(
    {
        "display",
        "preferredForLanguage",
        "synonym",
        FULL_NAME,
        "900000000000013009",
    }
)
WRONG_STATUS = frozenset({"deprecated", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Display:
    """A text that may stand for a concept; `designation` None is the default display."""

    text: str
    language: str | None
    designation: Designation | None = None

    @property
    def wrong(self) -> bool:
        """True when the text is no longer a correct display."""
        return self.designation is not None and self.designation.status in WRONG_STATUS

    @property
    def full_name(self) -> bool:
        """True for SNOMED CT's fully specified names: shown where there is nothing else."""
        use = self.designation.use if self.designation else None
        return use is not None and use.get("code") == FULL_NAME

    @property
    def dialects(self) -> tuple[tuple[str, bool], ...]:
        """Further tags of its language, and whether it is preferred there."""
        return self.designation.dialects if self.designation else ()


def displays(
    concept: Concept, language: str | None, reference: ConceptReference | None = None
) -> list[Display]:
    """All displays, the default first; those of the value set precede the system's."""
    return list(_displays(concept, language, reference))


def _displays(
    concept: Concept, language: str | None, reference: ConceptReference | None
) -> Iterator[Display]:
    if reference and reference.display:
        yield Display(reference.display, language)
    if concept.display:
        yield Display(concept.display, language)
    extra = reference.designations if reference else ()
    for one in (*extra, *concept.designations):
        if one.use is None or one.use.get("code") in DISPLAY_USES:
            yield Display(one.value, one.language, one)


def preferred(known: list[Display], languages: Languages | None) -> Display | None:
    """The display in the most wanted language; None when none is in any of them."""
    if languages is None or not languages.tags:
        return known[0] if known else None
    ranked = [
        (position, one.full_name, place, one)
        for place, one in enumerate(known)
        if not one.wrong and (position := _position(languages, one)) is not None
    ]
    return min(ranked, key=lambda each: each[:3])[3] if ranked else None


def _position(languages: Languages, one: Display) -> tuple[int, bool] | None:
    """How wanted the language of a display is; in a dialect, what is preferred goes first."""
    found = [(rank(languages, tag), not best) for tag, best in one.dialects]
    found.append((rank(languages, one.language), False))
    return min(((place, other) for place, other in found if place is not None), default=None)


@dataclass(frozen=True, slots=True)
class Given:
    """A display to check: of which code, where it stood, whether a wrong one only warns."""

    text: str
    system: str
    code: str
    place: str
    lenient: bool = False


def check(given: Given, known: list[Display], languages: Languages | None) -> Issue | None:
    """The issue of a display that is not right; None when it is."""
    if not known:
        return None
    right = [one for one in known if not one.wrong]
    wanted = _wanted(right, languages)
    if not wanted:
        return _none_in_language(given, right, languages)
    if any(_same(one.text, given.text) for one in wanted):
        return None
    outdated = next((o for o in known if o.wrong and _same(o.text, given.text)), None)
    if outdated is not None and outdated.designation is not None:
        return issue(
            "INACTIVE_DISPLAY_FOUND",
            given.place,
            display=given.text,
            code=given.code,
            status="deprecated",
            choices=", ".join(f'"{one.text}"' for one in wanted),
        )
    return _wrong(given, wanted, languages)


def _wanted(right: list[Display], languages: Languages | None) -> list[Display]:
    if languages is None or not languages.tags:
        return right
    return [
        one
        for one in right
        if _position(languages, one) is not None
        or (one.language is None and one.designation is None)
    ]


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _wrong(given: Given, wanted: list[Display], languages: Languages | None) -> Issue:
    spaced = any(
        "".join(one.text.casefold().split()) == "".join(given.text.casefold().split())
        for one in wanted
    )
    name = "Display_Name_WS_for" if spaced else "Display_Name_for"
    found = issue(
        f"{name}__should_be_one_of__instead_of",
        given.place,
        display=given.text,
        system=given.system,
        code=given.code,
        choices=_choices(wanted),
        languages=languages.text if languages else "--",
    )
    return _lenient(found) if given.lenient else found


def _lenient(found: Issue) -> Issue:
    return Issue("warning", found.code, found.type, found.text, found.message_id, found.expression)


def _choices(wanted: list[Display]) -> str:
    named = [f"'{one.text}'" + (f" ({one.language})" if one.language else "") for one in wanted]
    named = list(dict.fromkeys(named))
    if len(named) == 1:
        return named[0]
    return f"one of {len(named)} choices: " + " or ".join([", ".join(named[:-1]), named[-1]])


def _none_in_language(
    given: Given, right: list[Display], languages: Languages | None
) -> Issue | None:
    asked = languages.text if languages else "--"
    if any(_same(one.text, given.text) for one in right):
        return issue(
            "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK",
            given.place,
            system=given.system,
            code=given.code,
            languages=asked,
            display=given.text,
        )
    found = issue(
        "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR",
        given.place,
        system=given.system,
        code=given.code,
        languages=asked,
        display=given.text,
        default=right[0].text if right else "",
    )
    return _lenient(found) if given.lenient else found
