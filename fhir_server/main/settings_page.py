"""The page docs/settings.md, written from the settings themselves.

`python -m fhir_server.main.settings_page` writes it (`make settings`).
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.main import get_command

from fhir_server.config import Settings
from fhir_server.main.cli import app

PAGE: Final = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD = """\
# Settings

Written by `make settings` from `fhir_server/config.py`; change it there.

A value comes from the first of these that has it:

1. a flag of `sangam serve`;
2. an environment variable; lists and tables are written as JSON
   (`SANGAM_DICOM__AE_TITLES='["SANGAM"]'`);
3. the TOML file that `SANGAM_CONFIG` names (`sangam.toml` in the working
   directory if it names none): a setting of a group stands under the group's
   name in brackets;
4. the default.

```toml
http_port = 8080

[search]
default_count = 20
```

An unknown name in the file, or a value outside of what is allowed, stops the start.
"""
_COLUMNS = ("Setting", "Variable", "Flag", "Values", "Default", "What it does")
_TYPES: Mapping[Any, str] = {
    bool: "`true`, `false`",
    int: "integer",
    float: "number",
    Decimal: "number",
    str: "text",
    Path: "path",
    tuple: "list",
    dict: "table",
}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "min_length": "length >="}


def page() -> str:
    """Return the whole page: a table for the settings without group, and one for each group."""
    groups = {name: field for name, field in Settings.model_fields.items() if _group(field)}
    single = {name: field for name, field in Settings.model_fields.items() if name not in groups}
    parts = [_HEAD, "## Server\n", _table(single, "", _flags())]
    for name, field in groups.items():
        members = _group(field)
        assert members is not None
        parts += [f"## {str(field.description).removesuffix('.')} `[{name}]`\n"]
        parts += [_table(members.model_fields, f"{name}__", {})]
        parts += _lists(name, members)
    return "\n".join(parts)


def _lists(place: str, group: type[BaseModel]) -> Iterator[str]:
    """Yield a table for each group and list of groups in a group, and for the groups in these."""
    for name, field in group.model_fields.items():
        inner = _model(field)
        if inner is not None:
            inside = f"{place}.{name}"
            brackets = f"[[{inside}]]" if get_origin(field.annotation) is tuple else f"[{inside}]"
            yield f"### {(inner.__doc__ or name).splitlines()[0].rstrip('.')} `{brackets}`\n"
            # What stands in a list, or may be left out, has no variable of its own.
            prefix = f"{inside.replace('.', '__')}__" if _group(field) else ""
            yield _table(inner.model_fields, prefix, {})
            yield from _lists(inside, inner)


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the group that a setting is, that a list is of, or that may be left out."""
    kinds = (
        one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type)
    )
    return next((one for one in kinds if issubclass(one, BaseModel)), None)


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _flags() -> Mapping[str, str]:
    """Return the flags of `sangam serve`, by setting."""
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {one.name: one.opts[0] for one in serve.params}


def _table(fields: Mapping[str, FieldInfo], prefix: str, flags: Mapping[str, str]) -> str:
    columns = [one for one in _COLUMNS if flags or one != "Flag"]
    columns = [one for one in columns if prefix or flags or one != "Variable"]
    rows = [dict(zip(_COLUMNS, _row(*one, prefix, flags), strict=True)) for one in fields.items()]
    lines = [columns, ["---"] * len(columns), *([row[one] for one in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(name: str, field: FieldInfo, prefix: str, flags: Mapping[str, str]) -> Iterator[str]:
    yield f"`{name}`"
    yield f"`SANGAM_{prefix}{name}`".upper()
    yield f"`{flags[name]}`" if name in flags else ""
    yield _values(field)
    default = _default(field.default)
    yield f"`{default}`".replace("|", "\\|") if default else ""
    yield (field.description or "").replace("|", "\\|")


def _values(field: FieldInfo) -> str:
    """Return what may be given: the words, or the type with its bounds."""
    kind = field.annotation
    kinds = [one for one in get_args(kind) if one is not NoneType]
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        (kind,) = kinds
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(one)}`" for one in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table (below)"
    bounds = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in _BOUNDS.items()
        if hasattr(bound, name)
    ]
    return ", ".join([_TYPES[get_origin(kind) or kind], *bounds])


def _default(value: Any) -> str:  # noqa: ANN401  (of any setting)
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(str(value) if isinstance(value, Path) else value)


if __name__ == "__main__":
    PAGE.write_text(page())
