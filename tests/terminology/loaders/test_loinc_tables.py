from pathlib import Path

import pytest
from spooled import Read, csv, read, release_of, write

from terminology.loaders.report import LoadRefused

TERMS = csv(
    "LOINC_NUM",
    "COMPONENT",
    "PROPERTY",
    "TIME_ASPCT",
    "SYSTEM",
    "SCALE_TYP",
    "METHOD_TYP",
    "CLASS",
    "CLASSTYPE",
    "STATUS",
    "SHORTNAME",
    "LONG_COMMON_NAME",
    "RELATEDNAMES2",
    "EXTERNAL_COPYRIGHT_NOTICE",
    "Future",
)


def term(code: str, status: str = "ACTIVE", notice: str = "") -> str:
    names = ("Gluc Bld", f"Glucose {code}", "sugar; blut")
    return csv(
        code, "Glucose", "MCnc", "Pt", "Bld", "Qn", "", "CHEM", "1", status, *names, notice, "x"
    )


def tables(folder: Path) -> Path:
    write(folder, "a.csv", TERMS, term("1-8"), term("2-6", "DEPRECATED", "(c) someone"))
    write(
        folder,
        "b.csv",
        csv("PartNumber", "PartTypeName", "PartName", "PartDisplayName", "Status"),
        csv("LP1-1", "COMPONENT", "Glucose", "Glucose (part)", "ACTIVE"),
        encoding="utf-8-sig",
    )
    write(
        folder,
        "c.csv",
        csv("LoincNumber", "PartNumber", "PartTypeName", "LinkTypeName", "Property"),
        csv("1-8", "LP1-1", "COMPONENT", "Primary", "http://loinc.org/property/COMPONENT"),
        csv("1-8", "LP1-1", "COMPONENT", "DetailedModel", "http://loinc.org/property/analyte"),
        csv("9-9", "LP1-1", "COMPONENT", "Primary", "http://loinc.org/property/COMPONENT"),
    )
    write(
        folder,
        "d.csv",
        csv("PATH_TO_ROOT", "SEQUENCE", "IMMEDIATE_PARENT", "CODE", "CODE_TEXT"),
        csv("", "1", "", "LP9-9", "Laboratory"),
        csv("LP9-9", "1", "LP9-9", "LP1-1", "Glucose"),
        csv("LP9-9.LP1-1", "1", "LP1-1", "1-8", "Glucose 1-8"),
        csv("LP8-8.LP1-1", "2", "LP1-1", "1-8", "Glucose 1-8"),
    )
    write(
        folder,
        "e.csv",
        csv("AnswerListId", "AnswerListName", "AnswerStringId", "SequenceNumber", "DisplayText"),
        csv("LL1-1", "Yes or no", "LA1-1", "1", "Yes"),
        csv("LL1-1", "Yes or no", "LA2-2", "2", "No"),
    )
    write(
        folder,
        "f.csv",
        csv(
            "LoincNumber", "LongCommonName", "AnswerListId", "AnswerListName", "AnswerListLinkType"
        ),
        csv("1-8", "x", "LL1-1", "Yes or no", "EXAMPLE"),
    )
    write(folder, "g.csv", csv("LoincNumber", "ConsumerName"), csv("1-8", "Blood sugar"))
    write(
        folder,
        "deDE15LinguisticVariant.csv",
        csv("LOINC_NUM", "COMPONENT", "CLASS", "LONG_COMMON_NAME", "LinguisticVariantDisplayName"),
        csv("1-8", "Glukose", "", "", "Glukose im Blut"),
    )
    write(folder, "h.csv", csv("ParentGroupId", "GroupId", "Group"), csv("", "LG1-1", "Sugars"))
    write(folder, "i.csv", csv("Category", "GroupId", "LoincNumber"), csv("", "LG1-1", "1-8"))
    write(folder, "j.csv", csv("ParentLoinc", "Loinc", "LoincName"), csv("2-6", "1-8", "x"))
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(tables(tmp_path_factory.mktemp("loinc")), version="2.80")


def test_terms_parts_answers_and_groups_are_concepts(loaded: Read) -> None:
    assert loaded.concepts == {
        "1-8": ("Glucose 1-8", True, False),
        "2-6": ("Glucose 2-6", False, False),
        "LP1-1": ("Glucose (part)", True, False),
        "LP9-9": ("Laboratory", True, False),
        "LL1-1": ("Yes or no", True, False),
        "LA1-1": ("Yes", True, False),
        "LA2-2": ("No", True, False),
        "LG1-1": ("Sugars", True, False),
    }


def test_axes_are_names_and_parts(loaded: Read) -> None:
    assert loaded.values("1-8") == {
        ("COMPONENT", "Glucose"),
        ("COMPONENT", "LP1-1"),
        ("analyte", "LP1-1"),
        ("PROPERTY", "MCnc"),
        ("TIME_ASPCT", "Pt"),
        ("SYSTEM", "Bld"),
        ("SCALE_TYP", "Qn"),
        ("CLASS", "CHEM"),
        ("CLASSTYPE", "1"),
        ("STATUS", "ACTIVE"),
        ("copyright", "LOINC"),
        ("answer-list", "LL1-1"),
    }
    assert ("copyright", "3rdParty") in loaded.values("2-6")


def test_names_are_designations(loaded: Read) -> None:
    assert {one[1:] for one in loaded.designations if one[0] == "1-8"} == {
        ("en", "SHORTNAME", "Gluc Bld"),
        ("en", "RELATEDNAMES2", "sugar; blut"),
        ("en", "ConsumerName", "Blood sugar"),
        ("de-DE", "LONG_COMMON_NAME", "Glukose im Blut"),
    }


def test_the_hierarchy_has_each_edge_once(loaded: Read) -> None:
    assert loaded.edges == {("LP1-1", "LP9-9"), ("1-8", "LP1-1"), ("1-8", "LG1-1")}


def test_answer_lists_and_panels_have_members(loaded: Read) -> None:
    assert loaded.members == {
        ("LL1-1", "LA1-1", None),
        ("LL1-1", "LA2-2", None),
        ("2-6", "1-8", None),
    }
    assert loaded.values("LA1-1") == {("LIST", "LL1-1")}
    assert loaded.values("LL1-1") == {("answers-for", "1-8")}


def test_a_link_of_an_unknown_term_is_told_with_its_line(loaded: Read) -> None:
    assert [(one.kind, one.line) for one in loaded.report.problems] == [("unknown code", 4)]


def test_a_table_with_fewer_columns_of_the_same_terms_is_not_read(tmp_path: Path) -> None:
    tables(tmp_path)
    short = csv("LOINC_NUM", "COMPONENT", "CLASS", "STATUS", "LONG_COMMON_NAME")
    write(tmp_path, "Core.csv", short, csv("1-8", "Glucose", "CHEM", "ACTIVE", "Glucose 1-8"))
    done = read(tmp_path, version="2.80")
    assert len(done.concepts) == 8
    assert done.report.counts["not read"] == 1


def test_missing_tables_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", TERMS, term("1-8"))
    assert read(tmp_path, version="2.80").report.counts == {"missing file": 9}


def test_rows_over_several_lines_are_one_and_bad_ones_are_told(tmp_path: Path) -> None:
    broken = term("2-6").replace("sugar", "two\r\nlines")
    write(tmp_path, "a.csv", TERMS, term("1-8"), broken, term("3-4"), csv("4-2"), term("1-8"))
    done = read(tmp_path, version="2.80")
    assert set(done.concepts) == {"1-8", "2-6", "3-4"}
    assert [(one.line, one.reason) for one in done.report.bad_rows] == [
        (6, "1 columns, the header has 15"),
        (7, "1-8 came before, or is empty"),
    ]


def test_the_version_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LoadRefused, match="give --version"):
        release_of(tables(tmp_path))
