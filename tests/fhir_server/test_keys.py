"""Keys rise with time and never meet."""

import pytest

from fhir_server.keys import key_source, new_id


def test_keys_of_a_process_rise() -> None:
    new_key = key_source(3)
    keys = [new_key() for _ in range(20_000)]
    assert keys == sorted(set(keys))
    assert 0 < keys[-1] < 1 << 63


def test_keys_of_two_processes_never_meet() -> None:
    one, other = key_source(0), key_source(1)
    ours = {one() for _ in range(5_000)}
    theirs = {other() for _ in range(5_000)}
    assert not ours & theirs


@pytest.mark.parametrize("node", [-1, 1024])
def test_process_number_is_bounded(node: int) -> None:
    with pytest.raises(ValueError, match="node"):
        key_source(node)


def test_ids_are_fhir_ids_in_order_of_time() -> None:
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert all(len(id_) == 36 for id_ in ids)
