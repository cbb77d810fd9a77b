"""Every setting is documented, and somebody reads it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fhir_server.config import Settings
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


def _names(tree: ast.Module) -> dict[str, set[str]]:
    """The settings classes that each name of a module stands for."""
    names: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name, annotation=ast.Name(id=kind)) if kind in HOLDERS.values():
                names.setdefault(name, set()).add(kind)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind)):
                names.setdefault(name, set()).add(kind)
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


@pytest.fixture(scope="module")
def read() -> set[tuple[str, str]]:
    """All that the packages read."""
    places = [path for part in ("fhir_server", "adapters") for path in (ROOT / part).rglob("*.py")]
    own = ROOT / "fhir_server" / "config.py"
    return {one for path in places if path != own for one in reads(path.read_text())}


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_setting_is_read(read: set[tuple[str, str]], kind: str, field: str) -> None:
    assert (kind, field) in read
