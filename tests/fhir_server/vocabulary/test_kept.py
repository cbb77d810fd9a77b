import asyncio

import pytest

from fhir_server.vocabulary.kept import Kept


async def made(kept: Kept[str, str], key: str, size: int, log: list[str]) -> str:
    async def make() -> tuple[str, int]:
        await asyncio.sleep(0)
        log.append(key)
        return key.upper(), size

    return await kept.ask(key, make)


async def test_who_asks_while_a_value_is_made_waits_for_it() -> None:
    kept, log = Kept[str, str](10), list[str]()
    answers = await asyncio.gather(*(made(kept, "a", 1, log) for _ in range(5)))
    assert (answers, log) == (["A"] * 5, ["a"])


async def test_those_used_longest_ago_go_when_the_room_is_full() -> None:
    kept, log = Kept[str, str](10), list[str]()
    for key in ("a", "b", "a", "c"):
        await made(kept, key, 4, log)
    assert [kept.values.get(key) for key in "abc"] == ["A", None, "C"]
    assert kept.values.size == 8


async def test_what_fails_is_made_again_by_the_next_who_asks() -> None:
    kept, log = Kept[str, str](10), list[str]()

    async def fail() -> tuple[str, int]:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        await kept.ask("a", fail)
    assert await made(kept, "a", 1, log) == "A"


async def test_who_waits_goes_on_when_the_one_who_made_the_value_is_cancelled() -> None:
    kept, log, started = Kept[str, str](10), list[str](), asyncio.Event()

    async def hang() -> tuple[str, int]:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(kept.ask("a", hang))
    await started.wait()
    second = asyncio.create_task(made(kept, "a", 1, log))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "A"
    assert first.cancelled()
