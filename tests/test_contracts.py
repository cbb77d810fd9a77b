"""The import contracts of pyproject.toml: each holds, and each is seen broken."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
from grimp import ImportGraph, build_graph
from importlinter import configuration
from importlinter.application.app_config import settings
from importlinter.application.use_cases import lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("fhir_server", "adapters", "terminology")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]

# Contracts broken, by which module, by which line of it.
VIOLATIONS = [
    ({"layers"}, "fhir_server/changes.py", "import fhir_server.search.terms"),
    ({"layers"}, "fhir_server/search/terms.py", "import fhir_server.validation.place"),
    ({"layers", "cycles"}, "fhir_server/fhirpath/model.py", "import fhir_server.patch.value"),
    ({"layers"}, "fhir_server/blobs.py", "import fhir_server.caller"),
    ({"layers"}, "fhir_server/worker/metrics.py", "import adapters.hl7.metrics"),
    ({"layers"}, "fhir_server/keys.py", "import terminology"),
    ({"layers"}, "adapters/dicom/dataset/names.py", "import fhir_server.main"),
    ({"layers", "cycles"}, "fhir_server/store/arrays.py", "import fhir_server.interactions.read"),
    ({"cycles"}, "adapters/hl7/message/escapes.py", "import adapters.hl7.mapping.messages.oru"),
    ({"cycles"}, "fhir_server/search/terms.py", "import fhir_server.search.registry"),
    ({"rooms"}, "adapters/dicom/documents/figures.py", "import adapters.dicom.mpps.state"),
    ({"rooms"}, "adapters/dicom/pixels/grey.py", "import adapters.dicom.mpps.state"),
    ({"rooms", "cycles"}, "adapters/dicom/dataset/names.py", "import adapters.dicom.query.models"),
    ({"adapters"}, "adapters/ndhm/__init__.py", "import adapters.insurance"),
    ({"adapters"}, "adapters/hl7/message/files.py", "import adapters.dicom.network.pdu"),
    ({"door"}, "adapters/hl7/message/files.py", "import fhir_server.store.text"),
    ({"door"}, "adapters/hl7/message/files.py", "import fhir_server.api"),
    ({"door"}, "adapters/hl7/message/files.py", "import fhir_server.worker"),
    ({"door"}, "adapters/dicom/storage/index.py", "import fhir_server.search.terms"),
    ({"door"}, "adapters/dicom/tables.py", "import fhir_server.tables"),
    ({"write-path"}, "fhir_server/api/formats.py", "import fhir_server.store.transact"),
    (
        {"write-path", "door", "pure"},
        "adapters/hl7/message/files.py",
        "import fhir_server.store.transact",
    ),
    ({"write-path"}, "fhir_server/main/__init__.py", "from fhir_server.store import transact"),
    ({"terminology", "layers"}, "terminology/__init__.py", "import fhir_server.search"),
    ({"terminology"}, "terminology/__init__.py", "import fhir_server.errors"),
    ({"terminology"}, "terminology/operations.py", "import fastapi"),
    ({"cycles"}, "terminology/versions.py", "import terminology.scope"),
    ({"pure"}, "fhir_server/r4/walk.py", "import asyncio"),
    ({"pure"}, "fhir_server/errors.py", "import fastapi"),
    ({"pure"}, "fhir_server/fhirpath/values.py", "import threading"),
    ({"pure"}, "fhir_server/search/token.py", "import sqlalchemy"),
    ({"pure"}, "fhir_server/search/compile.py", "import psycopg"),
    ({"pure"}, "adapters/hl7/mapping/segments/pid.py", "import fhir_server.database"),
    ({"pure"}, "adapters/dicom/network/command.py", "import socket"),
    ({"hl7apy"}, "adapters/hl7/mllp/listener.py", "import hl7apy.core"),
]


def _lint(tree: Path) -> tuple[int, str]:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-logo", "--no-cache"],
        cwd=tree,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Built:
    """A graph in place of what import-linter would build; it may change it."""

    graph: ImportGraph

    def build(self, **_: object) -> ImportGraph:
        return deepcopy(self.graph)


def _broken(output: str) -> set[str]:
    return {contract["id"] for contract in CONTRACTS if f"{contract['name']} BROKEN" in output}


def _imported(line: str) -> str:
    """What an import names; of other packages, which are one node each, the package."""
    match ast.parse(line).body:
        case [ast.Import(names=[ast.alias(name=name)])]:
            found = name
        case [ast.ImportFrom(module=str(module), names=[ast.alias(name=name)])]:
            found = f"{module}.{name}"
        case _:
            raise ValueError(line)
    top = found.partition(".")[0]
    return found if top in PACKAGES else top


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages with the contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        only = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=only)
    return tmp_path


def test_the_contracts_hold() -> None:
    code, output = _lint(ROOT)
    assert code == 0, output
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in output


def test_the_command_refuses_a_tree_with_a_violating_import(tree: Path) -> None:
    contracts, module, line = VIOLATIONS[0]
    place = tree / module
    place.write_text(f"{place.read_text()}\n{line}\n")
    code, output = _lint(tree)
    assert (code, _broken(output)) == (1, contracts), output


@pytest.mark.parametrize(("contracts", "module", "line"), VIOLATIONS)
def test_a_violating_import_is_caught(
    graph: ImportGraph,
    capsys: pytest.CaptureFixture[str],
    contracts: set[str],
    module: str,
    line: str,
) -> None:
    importer = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    imported, changed = _imported(line), deepcopy(graph)
    if imported.partition(".")[0] not in PACKAGES:
        changed.add_module(imported, is_squashed=True)
    assert {importer, imported} <= changed.modules
    changed.add_import(importer=importer, imported=imported)
    configuration.configure()
    settings.configure(GRAPH_BUILDER=Built(changed))
    kept = lint_imports(str(ROOT / "pyproject.toml"), cache_dir=None)
    assert (kept, _broken(capsys.readouterr().out)) == (False, contracts)


def test_each_contract_is_seen_broken() -> None:
    seen = {contract for contracts, _, _ in VIOLATIONS for contract in contracts}
    assert seen == {contract["id"] for contract in CONTRACTS}


def test_each_module_of_the_server_has_a_layer() -> None:
    places = (ROOT / "fhir_server").iterdir()
    modules = {
        f"fhir_server.{place.stem}"
        for place in places
        if place.suffix == ".py" or (place / "__init__.py").exists()
    }
    layers = {name.strip() for layer in CONTRACTS[0]["layers"] for name in layer.split("|")}
    assert layers == (modules - {"fhir_server.__init__"}) | {"adapters", "terminology"}
