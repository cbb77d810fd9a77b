from pathlib import Path

import pytest
from spooled import Read, csv, read, tabs, write

from terminology.loaders.recognise import releases
from terminology.loaders.release import Options, Resources


def masters(folder: Path) -> Path:
    substance = tabs("Identifier", "Substance Name", "CAS Number", "UNII", "New")
    write(
        folder, "a", substance, tabs(11, "Paracetamol", "103-90-2", "", "x"), encoding="utf-8-sig"
    )
    routes = ("Route of Administration", "Dose Form")
    write(
        folder,
        "b",
        tabs("Identifier", "Generic Name", "Substance Identifier", *routes),
        tabs(21, "Paracetamol tablet", "11, 12", 61, 71),
    )
    identifiers = ("Generic Identifier", "Supplier Identifier", "Product Identifier")
    write(
        folder,
        "c",
        tabs("Identifier", "Brand Name", *identifiers, "License Status"),
        tabs(31, "Example 500", 21, 41, 51, "Active"),
        tabs(32, "Example 650", 99, 41, 51, "Active"),
    )
    write(folder, "d", tabs("Identifier", "Product Name"), tabs(51, "Example"))
    write(folder, "e", tabs("Identifier", "Supplier Name", "Country"), tabs(41, "Maker", "India"))
    write(folder, "f", tabs("Identifier", "Dose Form"), tabs(71, "Tablet"))
    write(folder, "g", tabs("Identifier", "Route of Administration"), tabs(61, "Oral"))
    return folder


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Read:
    return read(masters(tmp_path_factory.mktemp("cdci")), version="2025-06")


def test_each_master_is_known_by_its_columns(loaded: Read) -> None:
    kinds = {code: value for code, name, value in loaded.properties if name == "kind"}
    assert kinds == {
        "11": "substance",
        "21": "generic",
        "31": "brand",
        "32": "brand",
        "41": "supplier",
        "51": "product",
        "61": "route",
        "71": "form",
    }
    assert loaded.concepts["31"] == ("Example 500", True, False)


def test_lists_in_a_cell_are_links(loaded: Read) -> None:
    assert loaded.values("21") == {
        ("kind", "generic"),
        ("substance", "11"),
        ("substance", "12"),
        ("route", "61"),
        ("form", "71"),
    }


def test_a_brand_of_a_missing_generic_is_kept_and_reported(loaded: Read) -> None:
    assert ("generic", "99") in loaded.values("32")
    assert [(one.file[-1], one.line, one.reason) for one in loaded.report.problems] == [
        ("b", 2, "12 is in no master"),
        ("c", 3, "99 is in no master"),
    ]


def test_missing_masters_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "d", tabs("Identifier", "Product Name"), tabs(51, "Example"))
    assert read(tmp_path, version="1").report.counts == {"missing file": 6}


def test_clci_is_a_supplement_of_loinc_and_a_value_set(tmp_path: Path) -> None:
    header = csv("General Name", "LOINC Code", "Fully-Specified Name (FSN)", "Long Common Name")
    full = "Glucose:MCnc:Pt:Bld:Qn:"
    path = write(
        tmp_path,
        "list",
        header,
        csv("Blood sugar", "2339-0", full, "Glucose in Blood"),
        csv("Sugar", "2339-0", "Glucose MCnc", "Glucose in Blood"),
        csv("Nothing", "x", full, "x"),
    )
    (done,) = releases([path], Options(version="1"))
    assert isinstance(done, Resources)
    supplement, value_set = done.resources
    assert supplement["supplements"] == "http://loinc.org"
    assert [one["value"] for one in supplement["concept"][0]["designation"]] == [
        "Blood sugar",
        "Sugar",
    ]
    assert value_set["compose"]["include"] == [
        {"system": "http://loinc.org", "concept": [{"code": "2339-0"}]}
    ]
    assert [(one.kind, one.line) for one in done.report.problems] == [
        ("odd name", 3),
        ("bad row", 4),
    ]
