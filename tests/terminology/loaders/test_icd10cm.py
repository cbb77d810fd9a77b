from pathlib import Path

import pytest
from spooled import Read, read, release_of

from terminology.loaders.icd10cm import seventh
from terminology.loaders.report import LoadRefused

TABULAR = """<?xml version="1.0" encoding="utf-8"?>
<ICD10CM.tabular><version>2026</version><introduction/>
<chapter><name>19</name><desc>Injury</desc><sectionIndex/>
<section id="T15-T19"><desc>Foreign bodies</desc>
<diag><name>T15</name><desc>Foreign body on eye</desc>
 <excludes2><note>foreign body in wound (H05.5-)</note></excludes2>
 <sevenChrDef><extension char="A">initial encounter</extension>
  <extension char="S">sequela</extension></sevenChrDef>
 <diag><name>T15.0</name><desc>Foreign body in cornea</desc>
  <inclusionTerm><note>Corneal splinter</note></inclusionTerm></diag></diag>
</section>
<section id="A09"><desc>Infectious colitis</desc>
<diag><name>A09</name><desc>Infectious colitis</desc></diag></section>
</chapter></ICD10CM.tabular>
"""
ORDER = [
    ("00001", "A09", "1", "Infectious gastroenteritis", "Infectious gastroenteritis and colitis"),
    ("00002", "T15", "0", "Foreign body", "Foreign body on external eye"),
    ("00003", "T150", "0", "Foreign body in cornea", "Foreign body in cornea"),
    ("00004", "T150XXA", "1", "FB cornea, init", "Foreign body in cornea, initial encounter"),
]


def order(folder: Path) -> Path:
    lines = [f"{n} {code:7} {flag} {short:60} {long}" for n, code, flag, short, long in ORDER]
    path = folder / "order.bin"
    path.write_text("\r\n".join(lines) + "\r\n")
    return path


def tabular(folder: Path, text: str = TABULAR) -> Path:
    path = folder / "tabular"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(tabular(tmp_path_factory.mktemp("icd10cm")))


def test_chapters_sections_and_diagnoses_are_concepts(loaded: Read) -> None:
    assert loaded.resource["version"] == "2026"
    assert loaded.concepts == {
        "Chapter 19": ("Injury", True, True),
        "T15-T19": ("Foreign bodies", True, True),
        "T15": ("Foreign body on eye", True, False),
        "T15.0": ("Foreign body in cornea", True, False),
        "T15.0XXA": ("Foreign body in cornea, initial encounter", True, False),
        "T15.0XXS": ("Foreign body in cornea, sequela", True, False),
        "A09": ("Infectious colitis", True, False),
    }


def test_codes_lie_below_what_holds_them(loaded: Read) -> None:
    assert loaded.edges == {
        ("T15-T19", "Chapter 19"),
        ("T15", "T15-T19"),
        ("T15.0", "T15"),
        ("T15.0XXA", "T15.0"),
        ("T15.0XXS", "T15.0"),
        ("A09", "Chapter 19"),
    }


def test_only_complete_codes_are_billable(loaded: Read) -> None:
    billable = {(code, value) for code, name, value in loaded.properties if name == "billable"}
    assert billable == {
        ("T15", "f"),
        ("T15.0", "f"),
        ("T15.0XXA", "t"),
        ("T15.0XXS", "t"),
        ("A09", "t"),
    }


def test_notes_are_kept(loaded: Read) -> None:
    assert ("excludes2", "foreign body in wound (H05.5-)") in loaded.values("T15")
    assert loaded.designations == {("T15.0", "en", "inclusionTerm", "Corneal splinter")}


def test_the_order_file_alone_has_codes_by_their_beginnings(tmp_path: Path) -> None:
    done = read(order(tmp_path), version="2026")
    assert done.concepts["T15.0XXA"] == ("Foreign body in cornea, initial encounter", True, False)
    assert done.edges == {("T15.0", "T15"), ("T15.0XXA", "T15.0")}
    assert done.report.counts == {"missing file": 1}


def test_both_together_agree_on_what_is_billable(tmp_path: Path) -> None:
    order(tmp_path)
    tabular(tmp_path)
    done = read(tmp_path)
    assert ("billable", "t") in done.values("T15.0XXA")
    assert len(done.concepts) == 7
    assert done.report.counts == {}


def test_a_bad_row_of_the_order_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = order(tmp_path)
    path.write_text(path.read_text() + "nonsense\n")
    (bad,) = read(path, version="2026").report.bad_rows
    assert (bad.file, bad.line) == ("order.bin", 5)


def test_the_order_file_does_not_tell_the_version(tmp_path: Path) -> None:
    with pytest.raises(LoadRefused, match="give --version"):
        release_of(order(tmp_path))


@pytest.mark.parametrize(
    ("code", "made"), [("T15.0", "T15.0XXA"), ("T15", "T15.XXXA"), ("S72.001", "S72.001A")]
)
def test_placeholders_fill_up_to_the_seventh_character(code: str, made: str) -> None:
    assert seventh(code, "A") == made
