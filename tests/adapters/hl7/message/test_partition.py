import pytest

from adapters.hl7.message.partition import identifying, ordering, partition_keys, paths
from adapters.hl7.message.tokenizer import parse
from fhir_server.hl7_settings import Hl7Settings

MSH = "MSH|^~\\&|HIS|H1|EHR|H|2026||ADT^A40|1|P|2.5.1\r"
TWO = MSH + "PID|1||A^^^H~B^^^N&1.2&ISO\rMRG|C^^^H\r"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (TWO, ("A H", "B N&1.2&ISO", "C H")),
        (MSH + "PID|1|X^^^H||Y^^^H\rMRG||Z^^^H\r", ("X H", "Z H")),
        (MSH + "PID|1|||Y^^^H\rMRG||||Z^^^H\r", ("Y H", "Z H")),
        (MSH + "PID|1||A^^^H\rPID|2||B^^^H\r", ("A H", "B H")),
        (MSH + "PID|1||^^^H\r", ("sender S",)),
        (MSH, ("sender S",)),
    ],
    ids=["all identifiers", "PID-2", "PID-4, MRG-4", "two patients", "no value", "no patient"],
)
def test_keys_are_the_identifiers_with_their_authorities(text: str, keys: tuple[str, ...]) -> None:
    assert partition_keys(parse(text), "S") == keys


@pytest.mark.parametrize(
    ("setting", "keys"),
    [
        ("PID-3.1,PID-3.4", ["by A H", "by B N&1.2&ISO"]),
        ("PID-3.1, PID-3.4.1", ["by A H", "by B N"]),
        ("MSH-4", ["by H1"]),
        ("MSH-4,PID-3.1", ["by H1 A"]),
        ("PV1-19", ["A H", "B N&1.2&ISO", "C H"]),
    ],
)
def test_setting_names_the_keys_and_barriers_keep_the_identities(
    setting: str, keys: list[str]
) -> None:
    found = partition_keys(parse(TWO), "S", setting)
    assert ordering(found) == keys
    assert identifying(found) == ["A H", "B N&1.2&ISO", "C H"]


@pytest.mark.parametrize("setting", ["PID", "PID-0", "PID-3.1,nonsense", "pid-3", "PID-3.1.1.1"])
def test_bad_path_refuses_the_whole_setting(setting: str) -> None:
    with pytest.raises(ValueError, match="path"):
        paths(setting)
    with pytest.raises(ValueError, match="pattern"):
        Hl7Settings(partition=setting)  # type: ignore[call-arg]


def test_good_paths_are_a_setting() -> None:
    setting = "PID-3.1, PID-3.4,MSH-4"
    assert Hl7Settings(partition=setting).partition == setting  # type: ignore[call-arg]
    assert len(paths(setting)) == 3
