"""What the benchmark of terminology asks is well formed and drawn from what the server has."""

from itertools import islice
from urllib.parse import parse_qs, urlsplit

from benchmarks.terminology import Drawn, constraints, scenarios
from terminology.ecl.parse import parse

DRAWN = Drawn(
    "http://snomed.info/sct",
    [("1000001008", "Acute fever"), ("1000002001", "Ache")],
    [("1000003006", 90), ("1000005003", 10)],
)


def test_each_scenario_asks_an_operation_about_the_code_system() -> None:
    asked = {name: next(paths()) for name, paths in scenarios(DRAWN).items()}
    operations = {name: urlsplit(path).path for name, path in asked.items()}
    assert operations == {
        "$lookup": "/CodeSystem/$lookup",
        "$lookup, all properties": "/CodeSystem/$lookup",
        "$validate-code with display": "/CodeSystem/$validate-code",
        "$validate-code, is-a set": "/ValueSet/$validate-code",
        "$subsumes": "/CodeSystem/$subsumes",
        "$expand by text": "/ValueSet/$expand",
        "$expand by text in subtree": "/ValueSet/$expand",
        "$expand is-a": "/ValueSet/$expand",
        "$expand largest subtree": "/ValueSet/$expand",
        "$expand ECL": "/ValueSet/$expand",
    }
    for path in asked.values():
        query = parse_qs(urlsplit(path).query)
        (url,) = query.get("url") or query["system"]
        assert url.partition("?")[0] == DRAWN.system


def test_constraints_are_expressions() -> None:
    drawn = Drawn(DRAWN.system, DRAWN.concepts * 20, DRAWN.subtrees)
    for path in islice(constraints(drawn), 40):
        (url,) = parse_qs(urlsplit(path).query)["url"]
        kind, _, expression = url.partition("ecl/")
        assert kind == "http://snomed.info/sct?fhir_vs="
        (text,) = parse_qs(f"e={expression}")["e"]
        parse(text)
