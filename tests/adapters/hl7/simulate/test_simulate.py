"""Imagined analyzers send what a real server takes."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from adapters.hl7.astm.listener import serve as serve_analyzers
from adapters.hl7.inbox import process
from adapters.hl7.laboratory.rules import judge
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.tokenizer import parse
from adapters.hl7.mllp.listener import serve
from adapters.hl7.operators.cli import app
from adapters.hl7.profiles.configured import critical_of
from adapters.hl7.queries.dialogue import dialogue
from adapters.hl7.records import results
from adapters.hl7.simulate.chemistry import oru
from adapters.hl7.simulate.orders import accepted
from adapters.hl7.simulate.panels import CHEMISTRY, sample
from adapters.hl7.simulate.play import KINDS, Kind, Plan, Tally, item, play
from adapters.hl7.simulate.values import CRITICAL_SHARE
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.server import Server
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import A, done, found, message, rows
from tests.adapters.hl7.reading import profile, resources

pytestmark = pytest.mark.anyio
VALIDATOR = Validator(load())
RESULTS: tuple[Kind, ...] = ("cbc", "chemistry", "gas", "microbiology", "corrections")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_sends_the_same_bytes(kind: Kind) -> None:
    assert item(kind, 7, "mllp") == item(kind, 7, "mllp")
    assert item(kind, 7, "mllp") != item(kind, 8, "mllp")


@pytest.mark.parametrize("kind", RESULTS)
def test_results_map_to_valid_resources_without_a_warning(kind: Kind) -> None:
    for seed in range(5):
        mapped = transform(parse(item(kind, seed, "mllp").content.decode()), profile())
        assert mapped.warnings == {}
        assert len(mapped.writes) > 5
        for one in mapped.writes:
            raw = json.encode(one.resource)
            kind_of = one.resource["resourceType"]
            assert VALIDATOR.validate(kind_of, raw, json.decode(raw)) == []


@pytest.mark.parametrize("kind", ["cbc", "chemistry", "gas", "corrections"])
def test_records_map_as_the_message_does(kind: Kind) -> None:
    read = results.opened(item(kind, 6, "astm").content.decode(), "utf-8")
    values = [one["valueQuantity"]["value"] for one in _observations(read)]
    v2 = {"corrections": item("corrections", 10, "mllp")}.get(kind, item(kind, 6, "mllp"))
    assert values == [one["valueQuantity"]["value"] for one in _observations(parse_bytes(v2))]


def parse_bytes(one: Any) -> Any:
    return parse(one.content.decode())


def _observations(message: Any) -> list[dict[str, Any]]:
    return resources(transform(message, profile()), "Observation")


def test_culture_has_the_susceptibilities_of_its_organism_as_members() -> None:
    mapped = transform(parse(item("microbiology", 3, "mllp").content.decode()), profile())
    organism, *others = resources(mapped, "Observation")
    assert len(organism["hasMember"]) == len(others) == 5
    assert {one["derivedFrom"][0]["reference"] for one in others} == {
        next(w.full_url for w in mapped.writes if w.resource is organism)
    }


def test_corrections_tell_the_life_of_one_specimen() -> None:
    sent = [parse(item("corrections", seed, "mllp").content.decode()) for seed in range(5)]
    assert [one.named("OBX")[0].raw(11) for one in sent] == [*"PFCFX"]
    assert len({one.named("SPM")[0].raw(2) for one in sent}) == 1
    assert len({one.header.raw(10) for one in sent}) == 5


def test_chemistry_of_the_benchmarks_stays_as_it_was() -> None:
    first = oru(1, 1).decode().split("\r")
    assert first[1].startswith("PID|1||T000001^^^SIMHOSP^MR||")
    assert first[6].startswith("OBX|1|NM|2345-7^Glucose")


def criticals(kind: Kind, seeds: range, share: float) -> list[list[dict[str, Any]]]:
    """Return the critical Observations of the messages of seeds that have any."""
    settings = critical_of(Hl7Settings())
    found = []
    for seed in seeds:
        mapped = transform(parse(item(kind, seed, "mllp", share).content.decode()), profile())
        own = [o for o in resources(mapped, "Observation") if judge(o, settings) is not None]
        found += [own] if own else []
    return found


def test_few_messages_hold_one_critical_value() -> None:
    found = criticals("chemistry", range(400), CRITICAL_SHARE)
    assert {len(own) for own in found} == {1}
    assert 2 <= len(found) <= 12


@pytest.mark.parametrize("kind", ["cbc", "chemistry", "gas"])
def test_as_many_messages_hold_a_critical_value_as_are_wanted(kind: Kind) -> None:
    assert criticals(kind, range(60), 0) == []
    assert [len(own) for own in criticals(kind, range(20), 1)] == [1] * 20


def test_most_values_are_usual_and_some_are_not() -> None:
    flags = Counter(one.flag for seed in range(400) for one in sample(CHEMISTRY, seed).results)
    assert 0.9 < flags["N"] / flags.total() < 0.97


def test_simulated_share_is_settable(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(
        "adapters.hl7.operators.analyzers.play", lambda plan, _: plans.append(plan) or Tally()
    )
    for arguments in ([], ["--critical-share", "0.5"]):
        CliRunner().invoke(app, ["simulate", "cbc", "--port", "1", *arguments])
    assert [plan.critical_share for plan in plans] == [CRITICAL_SHARE, 0.5]


def test_work_is_accepted_order_by_order() -> None:
    order = b"MSH|^~\\&|A|B|C|D|2026||OML^O33^OML_O33|W1|P|2.5.1\rSPM|1|S1\rSAC|||S1\r"
    answer = accepted(order + b"ORC|NW|A1\rOBR|1\rORC|CA|A2\rOBR|2\r").decode().split("\r")
    assert answer[0].split("|")[8] == "ORL^O34^ORL_O42"
    assert answer[1:] == ["MSA|AA|W1", "SPM|1|S1", "SAC|||S1", "ORC|OK|A1", "ORC|CR|A2", ""]


@asynccontextmanager
async def listening(server: Server, transport: str) -> AsyncIterator[int]:
    sock, stop = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    if transport == "mllp":
        task = asyncio.create_task(serve(server, sock, stop, None, dialogue(server)))
    else:
        task = asyncio.create_task(serve_analyzers(server, sock, stop))
    try:
        yield sock.getsockname()[1]
    finally:
        stop.set()
        await task


async def played(server: Server, transport: Any, *kinds: Kind, **said: Any) -> Tally:
    async with listening(server, transport) as port:
        return await asyncio.to_thread(play, Plan("127.0.0.1", port, transport, kinds, **said))


async def test_analyzers_side_by_side_are_all_acknowledged_over_mllp(
    server: Server, client: httpx.AsyncClient
) -> None:
    tally = await played(server, "mllp", *RESULTS, count=25, analyzers=4)
    assert (tally.sent, tally.acknowledged, len(tally.times), tally.well) == (25, 25, 25, True)
    await process.run(server, {})
    assert {state for state, _ in await rows(server)} <= {"done", "stale"}
    assert len(await found(client, "Observation?status=cancelled&_count=100")) == 25


async def test_results_and_a_query_over_astm(server: Server) -> None:
    tally = await played(server, "astm", "gas", "query", count=4, analyzers=2)
    assert (tally.acknowledged, tally.refused, tally.lost) == (4, {}, {})


async def test_query_over_mllp_takes_the_work_and_accepts_it(
    server: Server, tmp_path: Path
) -> None:
    said = 'version = "1"\n[match]\napplications = ["CHEM-SIM"]\n[law]\norders_via = "connection"\n'
    (tmp_path / "chem.toml").write_text(said)
    asking = with_hl7(server, profiles_dir=str(tmp_path))
    specimen = sample(CHEMISTRY, 3_000_000).specimen
    order = (
        "ORC|NW|P1^HIS||||||||||||||||||||",
        "OBR|1|P1^HIS||2345-7^Glucose^LN",
        f"SPM|1|{specimen}^^||SER^Serum^HL70487",
    )
    await done(asking, message("OML^O21", A, *order))
    tally = await played(asking, "mllp", "query", count=1)
    assert (tally.acknowledged, tally.orders, tally.refused) == (1, 1, {})


async def test_refused_messages_are_told_with_their_answer(server: Server) -> None:
    tally = await played(with_hl7(server, accepted_types=("ADT",)), "mllp", "cbc", count=2)
    assert (tally.acknowledged, tally.well) == (0, False)
    assert [text.split()[0] for text in tally.refused] == ["AR"]


def test_closed_port_loses_messages_and_ends_with_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    result = CliRunner().invoke(app, ["simulate", "cbc", "--port", str(port), "--count", "5"])
    assert result.exit_code == 1
    assert "lost" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "There is no nothing"),
        (["microbiology", "--transport", "astm", "--port", "1"], "over MLLP only"),
        (["cbc"], "No server listens"),
    ],
)
def test_what_cannot_be_played_is_told(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["simulate", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert said in result.output
