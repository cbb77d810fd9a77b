import json
from pathlib import Path

import pytest
from spooled import RF2, Read, read, release_of, tabs, write

from terminology.loaders.report import LoadRefused
from terminology.loaders.rf2_terms import semantic_tag

CORE, ROOT, HEART, DISEASE, LUNG = (
    "900000000000207008",
    "138875005",
    "80891009",
    "64572001",
    "39607008",
)
SITE, IS_A, INFERRED, STATED = "363698007", "116680003", "900000000000011006", "900000000000010007"
FSN, SYNONYM, DEFINITION = "900000000000003001", "900000000000013009", "900000000000550004"
US, SIMPLE, SAME_AS = "900000000000509007", "723264001", "900000000000527005"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
FULL, PRIMITIVE = "900000000000073002", "900000000000074008"
DATE = "20250101"
CODES = (ROOT, HEART, DISEASE, LUNG, SITE, IS_A, US, SIMPLE, SAME_AS, CORE)


def header(kind: str) -> str:
    return tabs(*RF2[kind].split())


def concepts(*rows: str) -> list[str]:
    usual = [tabs(code, DATE, 1, CORE, PRIMITIVE) for code in CODES if code != LUNG]
    return [header("concept"), *usual, tabs(LUNG, DATE, 0, CORE, FULL), *rows]


def description(id_: int, code: str, kind: str, term: str, active: int = 1) -> str:
    return tabs(id_, DATE, active, CORE, code, "en", kind, term, "900000000000448009")


def relationship(id_: int, source: str, target: str, kind: str, group: int, how: str) -> str:
    return tabs(id_, DATE, 1, CORE, source, target, group, kind, how, "900000000000451002")


def package(folder: Path) -> Path:
    write(folder, "Snapshot/a.txt", *concepts())
    write(
        folder,
        "Snapshot/b.txt",
        "\ufeff" + header("description"),
        description(1013, HEART, FSN, "Heart structure (body structure)"),
        description(1021, HEART, SYNONYM, "Cardiac structure"),
        description(1039, HEART, SYNONYM, "Heart"),
        description(1047, HEART, SYNONYM, "Herz\\organ", active=0),
        description(1055, HEART, DEFINITION, "It beats."),
        description(1063, DISEASE, FSN, "Disease (disorder)"),
    )
    write(
        folder,
        "Snapshot/c.txt",
        header("relationship"),
        relationship(2011, HEART, ROOT, IS_A, 0, INFERRED),
        relationship(2029, DISEASE, ROOT, IS_A, 0, INFERRED),
        relationship(2037, DISEASE, HEART, SITE, 2, INFERRED),
        relationship(2045, DISEASE, HEART, IS_A, 0, STATED),
    )
    refset = ["id", "effectiveTime", "active", "moduleId", "refsetId", "referencedComponentId"]
    write(
        folder,
        "Snapshot/d.txt",
        tabs(*refset, "acceptabilityId"),
        tabs("u1", DATE, 1, CORE, US, 1039, PREFERRED),
        tabs("u2", DATE, 1, CORE, US, 1021, ACCEPTABLE),
    )
    write(
        folder,
        "Snapshot/e.txt",
        tabs(*refset, "targetComponentId"),
        tabs("u3", DATE, 1, CORE, SAME_AS, LUNG, HEART),
    )
    write(folder, "Snapshot/f.txt", tabs(*refset), tabs("u4", DATE, 1, CORE, SIMPLE, HEART))
    write(
        folder,
        "Snapshot/g.txt",
        tabs(*refset, "sourceEffectiveTime", "targetEffectiveTime"),
        tabs("u5", DATE, 1, CORE, "900000000000534007", "900000000000012004", DATE, DATE),
    )
    value = [
        "id",
        "effectiveTime",
        "active",
        "moduleId",
        "sourceId",
        "value",
        "relationshipGroup",
        "typeId",
    ]
    write(
        folder,
        "Snapshot/h.txt",
        tabs(*value, "characteristicTypeId", "modifierId"),
        tabs(3011, DATE, 1, CORE, DISEASE, "#1.50", 1, "1142135004", INFERRED, "x"),
    )
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(package(tmp_path_factory.mktemp("rf2")))


def test_files_are_found_by_their_columns_whatever_their_names(loaded: Read) -> None:
    assert len(loaded.concepts) == len(CODES)
    assert loaded.report.counts == {"unknown code": 1}


def test_the_edition_is_the_module_on_which_none_depends(loaded: Read) -> None:
    assert loaded.resource["version"] == f"http://snomed.info/sct/{CORE}/version/{DATE}"


def test_the_display_is_the_preferred_synonym(loaded: Read) -> None:
    assert loaded.concepts[HEART] == ("Heart", True, False)


def test_without_a_preferred_synonym_the_full_name_is_the_display(loaded: Read) -> None:
    assert loaded.concepts[DISEASE] == ("Disease (disorder)", True, False)


def test_inactive_concepts_are_kept_as_inactive(loaded: Read) -> None:
    assert loaded.concepts[LUNG] == (None, False, False)


def test_text_definitions_are_definitions(loaded: Read) -> None:
    assert loaded.definitions == {HEART: "It beats."}


def test_descriptions_are_designations_with_their_use(loaded: Read) -> None:
    assert {one for one in loaded.designations if one[0] == HEART} == {
        (HEART, "en", FSN, "Heart structure (body structure)"),
        (HEART, "en", SYNONYM, "Cardiac structure"),
        (HEART, "en", SYNONYM, "Heart"),
        (HEART, "en", SYNONYM, "Herz\\\\organ"),
        (HEART, "en", DEFINITION, "It beats."),
    }


def test_inactive_descriptions_and_definitions_are_not_searched(loaded: Read) -> None:
    assert {text for code, text in loaded.searched if code == HEART} == {
        "heart structure (body structure)",
        "cardiac structure",
        "heart",
    }


def test_a_designation_says_what_its_language_refsets_say(loaded: Read) -> None:
    said = {row[0]: row[1:] for row in loaded.fields if isinstance(row, tuple)}
    active, preferred, fields = said["Heart"]
    assert (active, preferred) == ("t", "t")
    assert json.loads(fields) == {
        "id": "1039",
        "type": SYNONYM,
        "module": CORE,
        "effectiveTime": DATE,
        "dialects": {US: "preferred"},
    }
    assert said["Cardiac structure"][1] == "f"


def test_inferred_is_a_relationships_are_the_hierarchy(loaded: Read) -> None:
    assert loaded.edges == {(HEART, ROOT), (DISEASE, ROOT)}


def test_attributes_are_properties_with_their_group(loaded: Read) -> None:
    assert {(SITE, HEART), ("1142135004", "1.50")} <= loaded.values(DISEASE)
    assert (DISEASE, SITE, 2) in loaded.groups


def test_a_concept_says_module_date_definition_and_tag(loaded: Read) -> None:
    assert loaded.values(HEART) == {
        ("effectiveTime", DATE),
        ("moduleId", CORE),
        ("sufficientlyDefined", "f"),
        ("semanticTag", "body structure"),
    }
    assert ("sufficientlyDefined", "t") in loaded.values(LUNG)


def test_members_of_refsets_keep_their_own_columns(loaded: Read) -> None:
    assert loaded.members == {(SIMPLE, HEART, None), (SAME_AS, LUNG, HEART)}
    assert {"targetComponentId": HEART} in loaded.fields


def test_the_newest_row_of_two_packages_counts(tmp_path: Path) -> None:
    package(tmp_path / "international")
    rows = (tabs(HEART, "20260101", 0, CORE, PRIMITIVE), tabs(DISEASE, "20200101", 0, CORE, FULL))
    write(tmp_path / "extension", "Snapshot/x.txt", header("concept"), *rows)
    done = read(tmp_path / "international", tmp_path / "extension")
    assert {code: done.concepts[code][1] for code in (HEART, DISEASE)} == {
        HEART: False,
        DISEASE: True,
    }
    assert done.report.counts["bad row"] == 0


def test_full_and_delta_files_are_left_out(tmp_path: Path) -> None:
    package(tmp_path)
    write(tmp_path, "Full/a.txt", header("concept"), tabs(HEART, "20100101", 0, CORE, FULL))
    done = read(tmp_path)
    assert done.concepts[HEART][1] is True
    assert done.report.counts["not read"] == 1


def test_a_full_file_without_a_telling_name_is_known_by_its_rows(tmp_path: Path) -> None:
    rows = [tabs(HEART, date, 1, CORE, FULL) for date in ("20100101", "20200101")]
    write(tmp_path, "concepts.txt", header("concept"), *rows)
    with pytest.raises(LoadRefused, match="no Snapshot of concepts"):
        release_of(tmp_path)


def test_columns_that_are_new_are_passed_over(tmp_path: Path) -> None:
    package(tmp_path)
    rows = [f"{row}\tnew" for row in concepts()[1:]]
    write(tmp_path, "Snapshot/a.txt", tabs(header("concept"), "future"), *rows)
    assert read(tmp_path).concepts[HEART] == ("Heart", True, False)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", *concepts())
    done = read(tmp_path, version="http://snomed.info/xsct/1/version/20250101")
    assert [one.file for one in done.report.problems] == [
        "the RF2 description file",
        "the RF2 relationship file",
        "the RF2 language file",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (tabs(HEART, DATE, 1, CORE), "4 columns, the header has 5"),
        (tabs("Heart", DATE, 1, CORE, FULL), "`Heart` is no SNOMED CT identifier"),
        (tabs(ROOT, DATE, 1, CORE, FULL), f"{ROOT} came before"),
        ("\udcff", "is not text in UTF-8"),
        (f"1\0{HEART}", "is not text in UTF-8"),
    ],
    ids=["short", "no identifier", "twice", "no text", "zero byte"],
)
def test_a_bad_row_is_told_with_file_and_line(tmp_path: Path, row: str, reason: str) -> None:
    package(tmp_path)
    raw = "\r\n".join(concepts(row)).encode(errors="surrogateescape")
    (tmp_path / "Snapshot" / "a.txt").write_bytes(raw)
    (bad,) = read(tmp_path).report.bad_rows
    assert (bad.file.rpartition("/")[2], bad.line) == ("a.txt", len(CODES) + 2)
    assert bad.reason.startswith(reason)


def test_without_a_module_dependency_the_version_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", *concepts())
    with pytest.raises(LoadRefused, match="give --version"):
        release_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "tag"),
    [("Heart (body structure)", "body structure"), ("Heart", None), ("Odd )", "Odd")],
)
def test_semantic_tag(name: str, tag: str | None) -> None:
    assert semantic_tag(name) == tag
