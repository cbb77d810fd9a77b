"""Pages lead to one another: no link is broken, and no page is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are linked by, as GitHub makes it."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the files and anchors that a page links to, other sites left out."""
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())
    parted = [target.partition("#") for target in targets]
    return [((page.parent / path).resolve() if path else page, mark) for path, _, mark in parted]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        (path.name, mark)
        for path, mark in links(page)
        if not path.exists() or (mark and mark not in anchors(path))
    ]
    assert broken == []


def test_each_page_is_in_the_list_of_the_readme() -> None:
    named = {path for path, _ in links(ROOT / "README.md")}
    assert [page.name for page in ROOT.glob("docs/*.md") if page not in named] == []
