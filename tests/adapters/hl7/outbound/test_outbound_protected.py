"""Nothing is sent in the clear to another machine unless a profile says so; it waits."""

from pathlib import Path

import pytest
from httpx import AsyncClient

from adapters.hl7.operators.destinations import reach
from adapters.hl7.profiles.destination import Outbound
from fhir_server.server import Server
from tests.adapters.hl7.outbound.destination import (
    agree,
    destination,
    patient,
    put,
    settled,
    telling,
)

# This machine too, which nobody can tell by how it is written.
ELSEWHERE = "127.1"
WHY = (
    "Not reached: It would go out in the clear; "
    "write [outbound.tls], or plain = true for a system that cannot do TLS"
)


def agree_elsewhere(place: Path, port: int, more: str = "") -> None:
    agree(place, port, "ADT^A31", more=more)
    profile = place / "LIS.toml"
    profile.write_text(profile.read_text().replace("127.0.0.1", ELSEWHERE))


async def test_messages_wait_until_somebody_says_that_they_may_go_in_the_clear(
    server: Server, client: AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "profiles"
    async with destination() as there:
        agree_elsewhere(place, there.port)
        async with telling(server, place):
            await put(client, patient("p"))
            await settled(server, [("queued", 0, WHY)], "state, attempts, detail")
            assert (there.connections, there.came) == (0, [])
            agree_elsewhere(place, there.port, "plain = true")
            await there.until(1)
            await settled(server, [("done", 1, None)], "state, attempts, detail")
    assert [one.message for one in caplog.records if "wait" in one.message] == [
        f"Messages to LIS wait: {WHY.removeprefix('Not reached: ')}"
    ]


async def test_operators_are_told_why_a_destination_is_not_reached() -> None:
    async with destination() as there:
        found = await reach(Outbound(address=f"{ELSEWHERE}:{there.port}"))
    assert (found["ok"], found["detail"]) == (False, WHY.removeprefix("Not reached: "))


def test_a_destination_is_protected_or_plain() -> None:
    with pytest.raises(ValueError, match="not both"):
        Outbound.model_validate({"address": "lis:1", "tls": {}, "plain": True})
