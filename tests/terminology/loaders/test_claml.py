from pathlib import Path

import pytest
from spooled import Read, read, release_of

from terminology.loaders.report import LoadRefused

DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE ClaML SYSTEM "ClaML.dtd">
<ClaML version="2.0.0"><Meta name="lang" value="en"/>
<Title name="ICD-10" version="2019" date="2019-01-01">ICD-10 of tests</Title>
<Modifier code="S4"><SubClass code=".0"/></Modifier>
<ModifierClass modifier="S4" code=".0">
 <Rubric kind="preferred"><Label xml:lang="en">With coma</Label></Rubric>
</ModifierClass>
<ModifierClass modifier="S4" code=".9">
 <Rubric kind="preferred"><Label>Plain</Label></Rubric>
</ModifierClass>
<ModifierClass modifier="S5" code="1">
 <Rubric kind="preferred"><Label>left</Label></Rubric>
</ModifierClass>
<Class code="IV" kind="chapter"><SubClass code="E10-E14"/>
 <Rubric kind="preferred">
  <Label xml:lang="en">Endocrine <Term>diseases</Term></Label></Rubric></Class>
<Class code="E10-E14" kind="block"><SuperClass code="IV"/>
 <Rubric kind="preferred"><Label xml:lang="en">Diabetes</Label></Rubric></Class>
<Class code="E10" kind="category" usage="dagger"><SuperClass code="E10-E14"/>
 <ModifiedBy code="S4"/>
 <Rubric kind="preferred"><Label xml:lang="en">Type 1</Label></Rubric>
 <Rubric kind="inclusion"><Label xml:lang="en"><Para>Brittle diabetes</Para></Label></Rubric>
 <Rubric kind="exclusion">
  <Label xml:lang="en">neonatal <Reference>P70.2</Reference></Label></Rubric></Class>
<Class code="E11" kind="category"><SuperClass code="E10-E14"/><SubClass code="E11.3"/>
 <ModifiedBy code="S5"><ValidModifierClass code="1"/></ModifiedBy>
 <Rubric kind="preferred"><Label xml:lang="en">Type 2</Label></Rubric></Class>
<Class code="E11.3" kind="category"><SuperClass code="E11"/>
 <Rubric kind="preferred"><Label xml:lang="en">With eyes</Label></Rubric></Class>
<Class code="E11.4" kind="category"><SuperClass code="E11"/><ExcludeModifier code="S5"/>
 <Rubric kind="preferredLong"><Label xml:lang="en">Type 2 with nerves</Label></Rubric>
 <Rubric kind="preferred"><Label xml:lang="en">With nerves</Label></Rubric></Class>
</ClaML>
"""


def document(folder: Path, text: str = DOCUMENT, name: str = "whatever.bin") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(document(tmp_path_factory.mktemp("claml")))


def test_the_title_tells_what_it_is(loaded: Read) -> None:
    resource = loaded.resource
    assert (resource["url"], resource["version"], resource["title"]) == (
        "http://hl7.org/fhir/sid/icd-10",
        "2019",
        "ICD-10 of tests",
    )


def test_classes_are_concepts_and_modifiers_make_more(loaded: Read) -> None:
    assert loaded.concepts == {
        "IV": ("Endocrine diseases", True, True),
        "E10-E14": ("Diabetes", True, True),
        "E10": ("Type 1", True, False),
        "E10.0": ("Type 1: With coma", True, False),
        "E10.9": ("Type 1: Plain", True, False),
        "E11": ("Type 2", True, False),
        "E11.3": ("With eyes", True, False),
        "E11.31": ("With eyes: left", True, False),
        "E11.4": ("Type 2 with nerves", True, False),
    }


def test_super_classes_are_parents(loaded: Read) -> None:
    assert loaded.edges == {
        ("E10-E14", "IV"),
        ("E10", "E10-E14"),
        ("E11", "E10-E14"),
        ("E11.3", "E11"),
        ("E11.4", "E11"),
        ("E10.0", "E10"),
        ("E10.9", "E10"),
        ("E11.31", "E11.3"),
    }


def test_other_names_are_designations_and_the_rest_properties(loaded: Read) -> None:
    assert loaded.designations == {
        ("E10", "en", "inclusion", "Brittle diabetes"),
        ("E11.4", "en", "preferred", "With nerves"),
    }
    assert loaded.values("E10") == {
        ("kind", "category"),
        ("usage", "dagger"),
        ("exclusion", "neonatal P70.2"),
    }


def test_a_class_without_a_code_or_given_twice_is_told_with_its_line(tmp_path: Path) -> None:
    more = '<Class kind="category"/>\n<Class code="E10" kind="category"/>\n</ClaML>'
    bad = read(document(tmp_path, DOCUMENT.replace("</ClaML>", more))).report.bad_rows
    line = DOCUMENT.count("\n")
    assert [(one.line, one.reason) for one in bad] == [
        (line, "a class without a code"),
        (line + 1, "E10 came before"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('SYSTEM "ClaML.dtd"', '[<!ENTITY lol "lol">]', "declares entities"),
        ("</ClaML>", "", "is not well-formed XML"),
        ('version="2019"', "", "give --version"),
        ('name="ICD-10"', 'name="ICPC"', "give --url"),
        ("</ClaML>", "<Class>" * 300, "nested too deep"),
    ],
    ids=["entities", "cut", "no version", "unknown", "deep"],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = document(tmp_path, DOCUMENT.replace(old, new))
    with pytest.raises(LoadRefused, match=reason):
        read(path)


def test_an_unknown_classification_is_loaded_under_a_given_url(tmp_path: Path) -> None:
    path = document(tmp_path, DOCUMENT.replace('name="ICD-10"', 'name="ICPC"'))
    assert (
        release_of(path, url="http://example.org/icpc").resource["url"] == "http://example.org/icpc"
    )
