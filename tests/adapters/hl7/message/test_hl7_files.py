import pytest

from adapters.hl7.message.charsets import decode
from adapters.hl7.message.files import framed, messages

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
        (b"FHS|^~\\&|L\rBHS|^~\\&|L\r" + ONE + TWO + b"BTS|2\rFTS|1\r", [ONE, TWO]),
        (b"\xef\xbb\xbf" + ONE, [ONE]),
    ],
)
def test_file_holds_messages(content: bytes, found: list[bytes]) -> None:
    assert messages(content) == found


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_messages_of_a_wide_file_are_wide_and_go_framed_as_utf_8(codec: str) -> None:
    texts = [f"MSH|^~\\&|{name}|||||||||||||||UNICODE\rPID|1||Ωಖ\r" for name in "AB"]
    found = messages("".join(texts).encode(codec))
    assert [decode(one, fallback="cp1252").text for one in found] == texts
    said = [text.replace("UNICODE", "UNICODE UTF-8").encode() for text in texts]
    assert [framed(one) for one in found] == said


def test_message_of_bytes_goes_framed_as_it_is() -> None:
    assert framed(ONE) == ONE
