"""The shape of the code: each house rule holds, and each is seen broken by a sample.

Size and complexity of functions are ruff's to measure; here it is asked without
the `noqa` comments, so that no module can excuse itself.
"""

import ast
import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("fhir_server", "adapters", "terminology", "benchmarks", "migrations", "tests")
LINES = 600
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "handler"}
READ_PATH = {
    "fhir_server.store",
    "fhir_server.interactions.history",
    "fhir_server.interactions.read",
    "fhir_server.interactions.search",
    "fhir_server.interactions.vread",
}
ANSWERING = {
    "adapters.dicom.operators",
    "adapters.dicom.viewer",
    "adapters.dicom.web",
    "adapters.hl7.operators",
    "fhir_server.api",
    "fhir_server.interactions",
    "fhir_server.operations",
}
FETCHING = {"current", "currents", "referring", "version", "versions"}
LENDING = {"aside", "connection", "statement", "transaction"}
ENGINES = {"create_engine", "create_async_engine", "Session", "sessionmaker"}
OFFSET = re.compile(r"\bOFFSET\s*($|[%$:\d])")


@dataclass(frozen=True, slots=True)
class Module:
    """A module by its dotted name, with its text."""

    name: str
    text: str

    def within(self, places: Iterable[str]) -> bool:
        return any(f"{self.name}.".startswith(f"{place}.") for place in places)

    def nodes(self) -> tuple[ast.AST, ...]:
        return _nodes(self.text)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: the lines that break it, and the places where it does not count, with the reason."""

    text: str
    lines: Callable[[Module], Iterator[int]]
    elsewhere: Mapping[str, str]

    def broken(self, module: Module) -> list[int]:
        return [] if module.within(self.elsewhere) else list(self.lines(module))


RULES: dict[str, Rule] = {}


def rule(
    text: str, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Callable[[Module], Iterator[int]]], Rule]:
    def keep(lines: Callable[[Module], Iterator[int]]) -> Rule:
        return RULES.setdefault(text, Rule(text, lines, elsewhere))

    return keep


@cache
def _nodes(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(text)))


def _called(node: ast.AST) -> str:
    """The last name of what is called: `commit` of `connection.commit()`."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name
    return ""


def _imported(node: ast.AST) -> list[str]:
    """The dotted names that an import statement names."""
    match node:
        case ast.Import(names=names):
            return [one.name for one in names]
        case ast.ImportFrom(module=str(module), names=names):
            return [f"{module}.{one.name}" for one in names]
    return []


@rule("a module has at most 600 lines")
def long(module: Module) -> Iterator[int]:
    if module.text.count("\n") > LINES:
        yield LINES + 1


@rule("a module is named for what it holds")
def vague(module: Module) -> Iterator[int]:
    if VAGUE & set(module.name.split(".")):
        yield 1


@rule(
    "no import inside a function, not by importlib either",
    {
        "fhir_server.search.words": "34 languages take 0.1 s, and most processes need none",
        "adapters.dicom.storage.tiered": "the client of S3 takes 0.4 s, and few need it",
        "fhir_server.main.late": "all of the server takes 2 s, and a command needs little of it",
    },
)
def late(module: Module) -> Iterator[int]:
    for function in module.nodes():
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for node in ast.walk(function):
            if _imported(node) or _called(node) in {"import_module", "__import__"}:
                yield node.lineno


@rule("what the types need is imported for all to see")
def hidden(module: Module) -> Iterator[int]:
    for node in module.nodes():
        if any(name.endswith(".TYPE_CHECKING") for name in _imported(node)):
            yield node.lineno


@rule(
    "a transaction is opened at the edge, and nobody below commits",
    {
        "adapters.dicom.storage.index": "a thread of the listener is an edge",
        "tests": "a test plays two transactions against each other",
    },
)
def commits(module: Module) -> Iterator[int]:
    for node in module.nodes():
        if _called(node) == "commit":
            yield node.lineno


@rule("SELECTs are composed in one place", {"fhir_server.search": "compiles searches"})
def selects(module: Module) -> Iterator[int]:
    for node in module.nodes():
        if {"sqlalchemy.select", "sqlalchemy.sql.select"} & set(_imported(node)):
            yield node.lineno
        match node:
            case ast.Attribute(value=ast.Name(id="sqlalchemy" | "sa"), attr="select"):
                yield node.lineno


@rule(
    "SQLAlchemy composes, psycopg executes",
    {"fhir_server.main.migrate": "Alembic runs on an engine"},
)
def engines(module: Module) -> Iterator[int]:
    for node in module.nodes():
        for name in _imported(node):
            root, _, last = name.rpartition(".")
            if root.startswith("sqlalchemy") and (last in ENGINES or ".ext" in root):
                yield node.lineno


@rule(
    "pages are found by key, never by OFFSET",
    {
        "tests": "the samples below",
        "adapters.dicom.web.search": "QIDO-RS has limit and offset, and no cursor",
        "terminology.postgres.selection": "$expand has offset and count, over what never changes",
    },
)
def offsets(module: Module) -> Iterator[int]:
    composes = "sqlalchemy" in module.text
    for node in module.nodes():
        if composes and _called(node) == "offset":
            yield node.lineno
        match node:
            case ast.Constant(value=str(text)) if OFFSET.search(text):
                yield node.lineno


@rule("what is read goes out as it lies, without a parse")
def parses(module: Module) -> Iterator[int]:
    if not module.within(READ_PATH):
        return
    for node in module.nodes():
        parsers = {"json", "orjson", "fhir_server.r4.json", "fhir_server.r4.json.decode"}
        if parsers & {name.removesuffix(".loads") for name in _imported(node)}:
            yield node.lineno
        if _called(node) in {"decode", "loads", "Decoder"} and "json" in ast.unparse(node):
            yield node.lineno


@rule(
    "who answers a caller reads by a connection that knows the caller",
    {
        "adapters.dicom.operators": "what studies wait for; insight.py says whose are shown",
        "adapters.dicom.web.access": "which studies somebody may see is asked here",
        "adapters.dicom.web.auditing": "records",
        "adapters.dicom.web.frames": "where frames lie in a file of a study that may be seen",
        "adapters.dicom.web.holdings": "studies that access.py lets through, and looks for",
        "adapters.dicom.web.kept": "metadata of a study that may be seen",
        "adapters.dicom.web.reject": "writes",
        "adapters.dicom.web.search": "studies that access.py lets through, and looks for",
        "adapters.dicom.web.stow": "writes",
        "adapters.dicom.web.uri": "what kind of an instance that may be seen",
        "adapters.hl7.operators": "the inbox; insight.py says whose messages are shown",
        "fhir_server.api.ops": "health and figures",
        "fhir_server.api.rest": "records",
        "fhir_server.interactions.access_report": "of AuditEvents an excerpt that is the patient's",
        "fhir_server.interactions.asynchronous": "requests of the requester",
        "fhir_server.interactions.auditing": "a job",
        "fhir_server.interactions.consents": "a job",
        "fhir_server.interactions.data_key_rotation": "a job",
        "fhir_server.interactions.erasure": "a job, and operators",
        "fhir_server.interactions.glass": "openings, of the person or for who reviews them",
        "fhir_server.interactions.reindex": "a job",
        "fhir_server.interactions.retention": "a job",
        "fhir_server.interactions.roles": "the role table",
        "fhir_server.interactions.search_parameter": "definitions, for the registry",
        "fhir_server.operations.reindex": "how far a job is",
        "fhir_server.operations.terminology": "closures and caches, of who made them",
    },
)
def foreign(module: Module) -> Iterator[int]:
    if not module.within(ANSWERING):
        return
    for node in module.nodes():
        match node:
            case ast.Call(func=ast.Attribute(value=of, attr=name)) if name in LENDING:
                if ast.unparse(of).endswith("database"):
                    yield node.lineno


@rule(
    "bodies are fetched behind the second wall",
    {
        "fhir_server.interactions.coded": "value sets, on a connection that is lent",
        "fhir_server.interactions.erasure": "a job, and operators",
        "fhir_server.interactions.glass": "whether somebody is stored",
        "fhir_server.interactions.held": "for adapters' senders, whom nothing restricts",
        "fhir_server.interactions.past": "on the connection of history and vread",
        "fhir_server.interactions.proxies": "who a RelatedPerson acts for",
        "fhir_server.interactions.referring": "for adapters' senders, whom nothing restricts",
    },
)
def bare(module: Module) -> Iterator[int]:
    if not module.within(ANSWERING) or "fhir_server.access.reach" in module.text:
        return
    for node in module.nodes():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="store" | "read"), attr=name)):
                if name in FETCHING:
                    yield node.lineno


# A reason that names `[outbound.tls]` was shown without it, and a name with `[/b]` ended a command.
@rule("what is stored is printed as it is, and is no markup", {"benchmarks": "figures alone"})
def marked(module: Module) -> Iterator[int]:
    for node in module.nodes():
        match node:
            case ast.Call(func=ast.Name(id="Console"), keywords=said):
                if "markup=False" not in map(ast.unparse, said):
                    yield node.lineno


@cache
def modules() -> tuple[Module, ...]:
    paths = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return tuple(
        Module(name.removesuffix(".__init__"), path.read_text())
        for name, path in zip(names, paths, strict=True)
    )


def _ruff(path: Path, text: str | None = None) -> list[tuple[str, str, int]]:
    """What ruff finds in files, or in a text as if it stood there: file, code and row."""
    rules = ["--select", "C901,PLR0915,PLC0415", "--ignore-noqa", "--output-format", "json"]
    where = [str(path)] if text is None else ["--stdin-filename", str(path), "-"]
    done = subprocess.run(
        [Path(sys.executable).with_name("ruff"), "check", "--no-cache", *rules, *where],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    return [(one["filename"], one["code"], one["location"]["row"]) for one in found]


@pytest.fixture(scope="module", autouse=True)
def forgetting() -> Iterator[None]:
    # To look for garbage among the trees takes three times as long as to parse them.
    gc.disable()
    yield
    gc.enable()
    # The trees of all modules are 300 MB.
    _nodes.cache_clear()


# All by one worker, which then parses for all.
@pytest.mark.xdist_group("shape")
@pytest.mark.parametrize("name", RULES)
def test_the_project_keeps_the_rule(name: str) -> None:
    broken = [f"{one.name}:{line}" for one in modules() for line in RULES[name].broken(one)]
    assert broken == [], name


SAMPLES = [
    (long, "fhir_server.store.read", "x = 1\n" * 601, [601]),
    (long, "fhir_server.store.read", "x = 1\n" * 600, []),
    (vague, "adapters.hl7.utils", "", [1]),
    (vague, "adapters.common.pid", "", [1]),
    (vague, "fhir_server.database", "", []),
    (late, "fhir_server.blobs", "def f():\n    import os", [2]),
    (late, "fhir_server.blobs", "async def f():\n    from os import path", [2]),
    (late, "fhir_server.blobs", "def f():\n    importlib.import_module('os')", [2]),
    (late, "fhir_server.blobs", "f = lambda: __import__('os')", [1]),
    (late, "fhir_server.blobs", "import os\ndef f():\n    os.stat('.')", []),
    (hidden, "fhir_server.blobs", "from typing import TYPE_CHECKING", [1]),
    (hidden, "fhir_server.blobs", "from typing import Any", []),
    (commits, "fhir_server.interactions.read", "async def f(c):\n    await c.commit()", [2]),
    (commits, "adapters.hl7.inbox.receive", "connection.commit()", [1]),
    (commits, "adapters.dicom.indexes", "connection.commit()", [1]),
    (commits, "adapters.dicom.storage.index", "connection.commit()", []),
    (selects, "fhir_server.api.rest", "from sqlalchemy import select", [1]),
    (selects, "adapters.dicom.storage.index", "import sqlalchemy as sa\nsa.select(1)", [2]),
    (selects, "fhir_server.search.compile", "from sqlalchemy import select", []),
    (selects, "fhir_server.tables", "from sqlalchemy import Table", []),
    (engines, "fhir_server.database", "from sqlalchemy import create_engine", [1]),
    (engines, "fhir_server.store.read", "from sqlalchemy.ext.asyncio import AsyncSession", [1]),
    (engines, "fhir_server.search.sql", "from sqlalchemy.orm import Session", [1]),
    (engines, "fhir_server.search.sql", "from sqlalchemy import Select, text", []),
    (offsets, "fhir_server.store.find", "SQL = 'SELECT id FROM t LIMIT 1 OFFSET 2'", [1]),
    (offsets, "fhir_server.search.compile", "f'{sql} OFFSET {skip}'", [1]),
    (offsets, "fhir_server.search.compile", "from sqlalchemy import *\ns.limit(1).offset(2)", [2]),
    (offsets, "fhir_server.search.compile", "from sqlalchemy import *\ns.limit(1)", []),
    (offsets, "adapters.dicom.studies.imaging_study", "zone = datetimes.offset(text)", []),
    (offsets, "adapters.dicom.studies.imaging_study", "name = 'TIMEZONE OFFSET FROM UTC'", []),
    (parses, "fhir_server.store.read", "import json", [1]),
    (parses, "fhir_server.interactions.read", "from fhir_server.r4 import json", [1]),
    (parses, "fhir_server.interactions.search", "from fhir_server.r4.json import decode", [1]),
    (parses, "fhir_server.store.find", "import msgspec\nmsgspec.json.decode(body)", [2]),
    (parses, "fhir_server.store.find", "READ = msgspec.json.Decoder(dict)", [1]),
    (parses, "fhir_server.store.text", "import msgspec\nmsgspec.json.encode(name)", []),
    (parses, "fhir_server.interactions.create", "from fhir_server.r4 import json", []),
    (foreign, "fhir_server.interactions.draw", "async with s.database.connection() as c: ...", [1]),
    (foreign, "adapters.dicom.web.draw", "web.server.database.transaction()", [1]),
    (foreign, "fhir_server.operations.draw", "database.statement()", [1]),
    (foreign, "fhir_server.interactions.draw", "async with reading(server, who) as c: ...", []),
    (foreign, "fhir_server.interactions.draw", "connection.transaction()", []),
    (foreign, "fhir_server.identity.login", "server.database.connection()", []),
    (bare, "fhir_server.interactions.draw", "found = await store.currents(c, places)", [1]),
    (bare, "fhir_server.operations.draw", "await read.current(c, 1, id_)", [1]),
    (bare, "fhir_server.interactions.draw", "await store.lock(c, places, 'UPDATE')", []),
    (
        bare,
        "fhir_server.interactions.draw",
        "from fhir_server.access.reach import reading\nstore.current(c, 1, id_)",
        [],
    ),
    (marked, "fhir_server.main.users", "Console(stderr=True).print(table)", [1]),
    (marked, "fhir_server.main.users", "Console(markup=False).print(table)", []),
]


@pytest.mark.parametrize(("checked", "name", "text", "lines"), SAMPLES)
def test_a_sample_that_breaks_a_rule_is_caught(
    checked: Rule, name: str, text: str, lines: list[int]
) -> None:
    assert checked.broken(Module(name, text)) == lines


def test_each_rule_is_seen_broken_and_kept() -> None:
    rules = list(RULES)
    assert list(dict.fromkeys(one.text for one, _, _, lines in SAMPLES if lines)) == rules
    assert list(dict.fromkeys(one.text for one, _, _, lines in SAMPLES if not lines)) == rules


@pytest.mark.parametrize(
    ("name", "place"), [(one.text, place) for one in RULES.values() for place in one.elsewhere]
)
def test_an_exception_is_still_needed(name: str, place: str) -> None:
    there = [module for module in modules() if module.within([place])]
    assert any(list(RULES[name].lines(module)) for module in there)


def test_functions_are_small_and_import_nothing() -> None:
    assert _ruff(ROOT) == []


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("PLR0915", "def f(x):\n" + "    x += 1\n" * 41),
        ("C901", "def f(x):\n" + "".join(f"    if x == {n}: x = 1\n" for n in range(10))),
        ("PLC0415", "def f():\n    import os  # noqa: PLC0415\n"),
    ],
)
def test_a_function_over_the_measure_is_caught(code: str, text: str) -> None:
    place = ROOT / "fhir_server" / "store" / "sample.py"
    row = 2 if code == "PLC0415" else 1
    assert _ruff(place, text) == [(str(place), code, row)]


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n" + "    x += 1\n" * 40,
        "def f(x):\n" + "".join(f"    if x == {n}: x = 1\n" for n in range(9)),
    ],
)
def test_a_function_of_the_measure_is_taken(text: str) -> None:
    assert _ruff(ROOT / "fhir_server" / "store" / "sample.py", text) == []
