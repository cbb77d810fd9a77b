"""Notices that an answer rests on something deprecated, withdrawn, draft or experimental.

https://hl7.org/fhir/extensions/StructureDefinition-standards-status.html
"""

from collections.abc import Iterator
from dataclasses import dataclass

from terminology.code_system import Head
from terminology.issues import Issue, issue
from terminology.value_set import ValueSet

ENDED = frozenset({"deprecated", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Notice:
    """`state` (deprecated, withdrawn, draft, experimental) of an item `url|version`."""

    state: str
    item: str


def notices(used: list[Head | ValueSet], asked: ValueSet) -> Iterator[Notice]:
    """What is to be said of the items used; draft and experimental only if the asked is not."""
    for one in [asked, *used]:
        if one.standards_status in ENDED:
            yield Notice(str(one.standards_status), one.canonical)
        elif one.status == "draft" and asked.status != "draft":
            yield Notice("draft", one.canonical)
        elif one.experimental and not asked.experimental:
            yield Notice("experimental", one.canonical)


def notice_issue(notice: Notice) -> Issue:
    """The notice as an issue of $validate-code."""
    return issue(f"MSG_{notice.state.upper()}", item=notice.item)
