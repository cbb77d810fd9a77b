import pytest

from adapters.hl7.message.files import messages

ONE, TWO = b"MSH|^~\\&|A\rPID|1\r", b"MSH|^~\\&|B\rPID|2\r"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", []),
        (b"no message here, only MSH in a sentence", []),
        (ONE, [ONE]),
        (ONE + TWO, [ONE, TWO]),
        (ONE.replace(b"\r", b"\n"), [ONE]),
        (ONE.replace(b"\r", b"\r\n") + b"\r\n", [ONE]),
        (b"# a comment\n#   MSH - Message Header\n\n" + ONE.replace(b"\r", b"\n"), [ONE]),
        (b"\x0b" + ONE + b"\x1c\r\x0b" + TWO + b"\x1c\r", [ONE, TWO]),
        (
            b"MSH|^~\\&|A\rNTE|1||the MSH| in a text\r",
            [b"MSH|^~\\&|A\rNTE|1||the MSH| in a text\r"],
        ),
    ],
)
def test_file_holds_messages(content: bytes, found: list[bytes]) -> None:
    assert messages(content) == found
