"""Long work in memory gives way."""

import asyncio

import pytest

from terminology import pausing


@pytest.mark.parametrize("tests", [0, 1, 7, 10_000])
@pytest.mark.parametrize("count", [0, 1, 6_000])
async def test_sifting_keeps_what_a_filter_keeps(count: int, tests: int) -> None:
    kept = await pausing.sift(range(count), lambda n: n % 3 == 0, tests)
    assert kept == [n for n in range(count) if n % 3 == 0]


async def test_others_run_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "SECONDS", 0.0)
    ran: list[int] = []

    async def other() -> None:
        ran.append(1)

    task = asyncio.create_task(other())
    await pausing.sift(range(10), bool, pausing.TESTS)
    assert ran == [1]
    await task


@pytest.mark.parametrize("size", [1, pausing.MANY + 1])
async def test_work_aside_returns_what_the_function_does(size: int) -> None:
    assert await pausing.aside(size, sorted, [2, 1], reverse=True) == [2, 1]
