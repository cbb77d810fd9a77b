"""Tests of the end of background tasks."""

import asyncio

import pytest

from fhir_server import background
from fhir_server.background import end

pytestmark = pytest.mark.anyio


async def test_a_task_that_loses_a_cancellation_to_an_error_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "_AGAIN_SECONDS", 0.01)
    lost = []

    async def goes_on() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append("as an error of the database took its place")

    task = asyncio.create_task(goes_on())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end([task])
    assert lost
    assert task.cancelled()


async def test_ended_tasks_are_left_as_they_are() -> None:
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await task
    await end([task])
    assert task.result() == "done"
