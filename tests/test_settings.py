"""Every setting is documented, and somebody reads it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from typer.main import get_command

from fhir_server.config import Settings
from fhir_server.main.cli import app
from fhir_server.main.settings_page import PAGE, page

ROOT = Path(__file__).parents[1]
GROUPS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
# A value is of a class if it is the attribute that holds it, or is annotated with it.
HOLDERS = {"settings": "Settings"} | {name: group.__name__ for name, group in GROUPS.items()}
FIELDS = [("Settings", name) for name in Settings.model_fields] + [
    (group.__name__, name) for group in GROUPS.values() for name in group.model_fields
]


KINDS = set(HOLDERS.values())


def _names(tree: ast.Module) -> dict[str, set[str]]:
    """The settings classes that each name of a module stands for."""
    names: dict[str, set[str]] = {}
    # Twice, because the walk meets `self._settings = settings` before the parameter.
    nodes = list(ast.walk(tree))
    for node in (*nodes, *nodes):
        match node:
            case ast.arg(arg=name, annotation=ast.Name(id=kind)) if kind in KINDS:
                names.setdefault(name, set()).add(kind)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind)):
                names.setdefault(name, set()).update({kind} & KINDS)
            case ast.Assign(
                targets=[ast.Name(id=name) | ast.Attribute(attr=name)],
                value=ast.Attribute(attr=holder),
            ) if holder in HOLDERS:
                names.setdefault(name, set()).add(HOLDERS[holder])
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Name(id=other)):
                names.setdefault(name, set()).update(names.get(other, ()))
    return names


def reads(text: str) -> Iterator[tuple[str, str]]:
    """The settings that a module reads: class and field."""
    tree = ast.parse(text)
    names = _names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name), attr=field):
                kinds = {HOLDERS[name]} if name in HOLDERS and name not in names else set()
                yield from ((kind, field) for kind in kinds | names.get(name, set()))


@cache
def everything() -> frozenset[tuple[str, str]]:
    """All that the packages read."""
    places = [path for part in ("fhir_server", "adapters") for path in (ROOT / part).rglob("*.py")]
    own = ROOT / "fhir_server" / "config.py"
    return frozenset(one for path in places if path != own for one in reads(path.read_text()))


# All by one worker, which then parses for all.
@pytest.mark.xdist_group("shape")
@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_setting_is_read(kind: str, field: str) -> None:
    assert (kind, field) in everything()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("server.settings.demo", {("Settings", "demo")}),
        ("server.settings.hl7.zone", {("Settings", "hl7"), ("Hl7Settings", "zone")}),
        ("def f(settings: Hl7Settings): return settings.zone", {("Hl7Settings", "zone")}),
        ("class A:\n    search: SearchSettings\na.search.zone", {("SearchSettings", "zone")}),
        ("own = x.limits\nown.depth", {("Limits", "depth")}),
        (
            "def __init__(self, given: DicomSettings): self._own = given\nself._own.zone",
            {("DicomSettings", "zone")},
        ),
        ("datetime.timezone", set()),
        ("settings = Settings(demo=True)", set()),
        ("def f(clock: Clock): return clock.zone", set()),
    ],
)
def test_a_read_is_told_from_what_only_looks_like_one(
    text: str, found: set[tuple[str, str]]
) -> None:
    assert set(reads(text)) == found


def test_the_page_is_that_of_the_settings() -> None:
    assert PAGE.read_text() == page(), "make settings writes it anew"


def test_every_setting_has_a_row() -> None:
    rows = re.findall(r"^\| `\w+` \| `(SANGAM_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    single = [f"SANGAM_{name}".upper() for name in Settings.model_fields if name not in GROUPS]
    grouped = [one for name, group in GROUPS.items() for one in variables(f"SANGAM_{name}", group)]
    assert rows == single + grouped


def variables(prefix: str, group: type[BaseModel]) -> list[str]:
    """Return the variables of a group and, after them, of the groups in it."""
    inner = {
        name: field.annotation
        for name, field in group.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    own = [f"{prefix}__{name}".upper() for name in group.model_fields]
    return own + [one for name, of in inner.items() for one in variables(f"{prefix}__{name}", of)]


def test_every_setting_says_what_it_does() -> None:
    classes = [Settings, *GROUPS.values()]
    fields = [one for kind in classes for one in kind.model_fields.items()]
    assert [name for name, field in fields if not field.description] == []


def test_each_flag_of_serve_is_a_setting() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `SANGAM_\w+` \| `(--[a-z-]+)` \|", page(), re.MULTILINE)
    flags = {one.name: one.opts[0] for one in get_command(app).commands["serve"].params}
    assert dict(rows) == flags


@pytest.mark.parametrize(
    ("variable", "text", "place", "value"),
    [
        ("SANGAM_HTTP_PORT", "8181", "http_port", 8181),
        ("SANGAM_SEARCH__DEFAULT_COUNT", "20", "search.default_count", 20),
        ("SANGAM_DICOM__AE_TITLES", '["A", "B"]', "dicom.ae_titles", ("A", "B")),
        ("SANGAM_HL7__AUTHORITIES", '{"LAB": "urn:l"}', "hl7.authorities", {"LAB": "urn:l"}),
    ],
)
def test_a_variable_sets_what_the_page_says(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, place: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert attrgetter(place)(Settings()) == value


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "sangam.toml"
    file.write_text("http_port = 1\nmllp_port = 1\ndicom_port = 1\n[search]\nmax_count = 7\n")
    monkeypatch.setenv("SANGAM_CONFIG", str(file))
    monkeypatch.setenv("SANGAM_HTTP_PORT", "2")
    monkeypatch.setenv("SANGAM_MLLP_PORT", "2")
    found = Settings(http_port=3)
    assert (found.http_port, found.mllp_port, found.dicom_port) == (3, 2, 1)
    assert found.search.max_count == 7


@pytest.mark.parametrize("line", ["htp_port = 1", "[search]\nmax = 1", "http_port = 70000"])
def test_a_file_with_a_wrong_line_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "sangam.toml"
    file.write_text(line)
    monkeypatch.setenv("SANGAM_CONFIG", str(file))
    with pytest.raises(ValidationError):
        Settings()
