"""Provisions compared with a plain recursive reading of the specification (3.5)."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from interactions.searching import observation, patient, store

from fhir_server.access import consent
from fhir_server.access.provisions import MOST, Provision, read
from fhir_server.interactions import consents
from fhir_server.search.context import Context
from fhir_server.server import Server
from fhir_server.store import consents as consent_rows

from .restricted import Asking, Json, asking, seen
from .test_consents import CONFIDENTIALITY, REASON, actor, consent_of, labelled, resource_type

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

PATIENTS = 60
SEED = 7


class Situation(NamedTuple):
    """Who asks, what for, and of what."""

    actor: str
    purpose: str
    type: str
    label: str


def random_provision(rng: random.Random, depth: int = 0) -> Json:
    """A provision of any shape: each part may be there, or exceptions."""
    found: Json = {"type": rng.choice(("permit", "deny"))}
    if rng.random() < 0.4:
        found["actor"] = [
            actor(f"Practitioner/{rng.choice('ab')}") for _ in range(rng.choice((1, 2)))
        ]
    if rng.random() < 0.3:
        found["purpose"] = [{"system": REASON, "code": rng.choice(("TREAT", "HPAYMT"))}]
    if rng.random() < 0.3:
        found["class"] = [resource_type(rng.choice(("Observation", "Patient")))]
    if rng.random() < 0.3:
        found["securityLabel"] = [{"system": CONFIDENTIALITY, "code": rng.choice("NRV")}]
    if rng.random() < 0.2:
        found["action"] = [{"coding": [{"code": rng.choice(("access", "disclose"))}]}]
    if depth < 3 and rng.random() < 0.7:
        found["provision"] = [
            random_provision(rng, depth + 1) for _ in range(rng.choice((1, 1, 2, 3)))
        ]
    return found


def is_met(provision: Json, now: Situation) -> bool:
    """All parts that are given match."""
    actors = [one["reference"]["reference"] for one in provision.get("actor", ())]
    purposes = [one["code"] for one in provision.get("purpose", ())]
    types = [one["code"] for one in provision.get("class", ())]
    actions = [one["coding"][0]["code"] for one in provision.get("action", ())]
    labels = [one["code"] for one in provision.get("securityLabel", ())]
    order, permits = "ULMNRV", provision["type"] == "permit"
    marked = any(
        order.index(now.label) <= order.index(one)
        if permits
        else order.index(now.label) >= order.index(one)
        for one in labels
    )
    return (
        (not actors or now.actor in actors)
        and (not purposes or now.purpose in purposes)
        and (not types or now.type in types)
        and (not actions or "access" in actions)
        and (not labels or marked)
    )


def decisions(provision: Json, now: Situation, depth: int = 0) -> Iterator[tuple[int, bool]]:
    """(depth, denies) of a provision that matches, and of its exceptions that do."""
    if is_met(provision, now):
        yield depth, provision["type"] == "deny"
        for one in provision.get("provision", ()):
            yield from decisions(one, now, depth + 1)


def is_permitted(provision: Json, now: Situation) -> bool:
    """The deepest match decides, of several as deep a denial; nothing that matches permits."""
    return not max(decisions(provision, now), default=(0, False))[1]


async def test_provisions_decide_as_they_read(
    client: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    rng = random.Random(SEED)
    given = {f"p{number}": random_provision(rng) for number in range(PATIENTS)}
    await store(
        server,
        [
            one
            for id_ in given
            for one in (
                patient(id_),
                observation(f"{id_}-N", f"Patient/{id_}"),
                observation(f"{id_}-R", f"Patient/{id_}", meta=labelled("R")),
            )
        ],
    )
    rows = [
        consents.row(server, number, consent_of(id_, provision))
        for number, (id_, provision) in enumerate(given.items())
    ]
    async with server.database.transaction() as connection:
        await consent_rows.follow(connection, rows)
    for who in "ab":
        for purpose in ("TREAT", "HPAYMT"):
            asking.be(consent.wall((f"Practitioner/{who}",), purpose))
            now = Situation(f"Practitioner/{who}", purpose, "Observation", "N")
            found = await seen(client, "/Observation?_count=1000")
            assert found == sorted(
                f"Observation/{id_}-{label}"
                for id_, provision in given.items()
                for label in "NR"
                if is_permitted(provision, now._replace(label=label))
            )
            found = await seen(client, "/Patient?_count=1000")
            assert found == sorted(
                f"Patient/{id_}"
                for id_, provision in given.items()
                if is_permitted(provision, now._replace(type="Patient"))
            )


def test_a_consent_of_too_many_provisions_is_not_read() -> None:
    many = {"type": "permit", "provision": [{"type": "deny"}] * MOST}
    context = Context(type_ids={"Patient": 1})
    found = read(consent_of("ann", many), context)
    assert found is not None
    assert found.root is None
    few = read(consent_of("ann", {"type": "permit"}), context)
    assert few is not None
    assert few.root == Provision(None, (), (Provision(True),))
