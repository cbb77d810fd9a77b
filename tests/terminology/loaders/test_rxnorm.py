from pathlib import Path

import pytest
from spooled import Read, read, release_of

from terminology.loaders.report import LoadRefused
from terminology.loaders.rxnorm import LICENCE


def bars(*fields: str) -> str:
    return "|".join(fields) + "|"


def atom(code: str, kind: str, text: str, source: str = "RXNORM", suppress: str = "N") -> str:
    before = ("ENG", "", "", "", "", "", "1", "", code, "")
    return bars(code, *before, source, kind, code, text, "", suppress, "4096")


def relation(target: str, name: str, source: str, whose: str = "RXNORM") -> str:
    return bars(
        target, "", "CUI", "RO", source, "", "CUI", name, "1", "", whose, "", "", "", "", ""
    )


def attribute(code: str, name: str, value: str, source: str = "RXNORM") -> str:
    return bars(code, "", "", "", "CUI", code, "AT1", "", name, source, value, "N", "")


FILES = {
    "a.bin": [
        atom("161", "SY", "APAP"),
        atom("161", "IN", "acetaminophen"),
        atom("161", "IN", "Paracetamol", source="MMSL"),
        atom("313782", "SCD", "acetaminophen 325 MG Oral Tablet"),
        atom("1152842", "SCDG", "acetaminophen Pill"),
        atom("99", "IN", "gone", suppress="O"),
    ],
    "b.bin": [
        relation("1152842", "isa", "313782"),
        relation("161", "has_ingredient", "313782"),
        relation("161", "has_ingredient", "777"),
        relation("161", "constitutes", "313782", whose="MMSL"),
    ],
    "c.bin": [
        attribute("313782", "NDC", "00000000001"),
        attribute("161", "X", "y", source="MMSL"),
    ],
    "d.bin": [bars("161", "T109", "A1", "Organic Chemical", "AT2", "")],
    "e.bin": [bars("55", "2001", "2002", "1", "161"), bars("161", "2001", "2002", "1", "161")],
}


def files(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in FILES.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(files(tmp_path_factory.mktemp("rxnorm")), version="07072025")


def test_concepts_are_named_by_their_own_atoms(loaded: Read) -> None:
    assert loaded.concepts == {
        "161": ("acetaminophen", True, False),
        "313782": ("acetaminophen 325 MG Oral Tablet", True, False),
        "1152842": ("acetaminophen Pill", True, False),
        "99": ("gone", False, False),
        "55": (None, False, False),
    }
    assert loaded.designations == {("161", "en", "SY", "APAP")}


def test_relations_are_read_from_the_right(loaded: Read) -> None:
    assert loaded.edges == {("313782", "1152842")}
    assert loaded.values("313782") == {
        ("TTY", "SCD"),
        ("has_ingredient", "161"),
        ("NDC", "00000000001"),
    }


def test_only_what_rxnorm_says_itself_is_kept(loaded: Read) -> None:
    assert loaded.values("161") == {("TTY", "IN"), ("STY", "Organic Chemical")}


def test_retired_concepts_lead_to_what_took_their_place(loaded: Read) -> None:
    assert loaded.values("55") == {("replaced-by", "161")}


def test_a_relation_of_an_unknown_concept_is_told_with_its_line(loaded: Read) -> None:
    assert [(one.kind, one.line) for one in loaded.report.problems] == [("unknown code", 3)]


def test_a_short_row_is_told_with_its_line(tmp_path: Path) -> None:
    files(tmp_path)
    with (tmp_path / "a.bin").open("a") as file:
        file.write("1|ENG|\n")
    (bad,) = read(tmp_path, version="1").report.bad_rows
    assert (bad.file.rpartition("/")[2], bad.line) == ("a.bin", 7)


def test_the_version_is_in_the_name_of_the_folder_or_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LoadRefused, match="give --version"):
        release_of(files(tmp_path / "rrf"))
    dated = release_of(files(tmp_path / "RxNorm_full_07072025"))
    assert dated.resource["version"] == "07072025"


def test_only_the_prescribable_content_is_free_of_a_licence(tmp_path: Path) -> None:
    full = release_of(files(tmp_path / "RxNorm_full_07072025"))
    free = release_of(files(tmp_path / "RxNorm_full_prescribe_07072025"))
    assert (full.licence, free.licence) == (LICENCE, None)
