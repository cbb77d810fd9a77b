from terminology.recent import Recent


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("one", 1)
    recent.put("two", 2)
    recent.get("one")
    recent.put("three", 3)
    assert [recent.get(key) for key in ("one", "two", "three")] == [1, None, 3]


def test_sizes_are_counted() -> None:
    recent: Recent[str, int] = Recent(10)
    for key in ("a", "b", "a", "c"):
        recent.put(key, 0, size=4)
    assert (recent.size, recent.get("b")) == (8, None)


def test_one_that_is_too_large_is_kept_alone() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.put("a", 1, size=4)
    recent.put("b", 2, size=40)
    assert (len(recent), recent.size, recent.get("b")) == (1, 40, 2)


def test_what_is_let_go_gives_its_room_back() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.put("a", 1, size=4)
    recent.put("b", 2, size=4)
    recent.pop("a")
    recent.pop("nobody")
    assert (len(recent), recent.size) == (1, 4)
    recent.clear()
    assert (len(recent), recent.size) == (0, 0)
