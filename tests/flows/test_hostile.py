"""What a hostile newcomer sends: a clear refusal each, the server alive, its memory flat."""

import json
import socket
import struct
import urllib.error
import urllib.request

import psutil
import pytest
from flows.running import Running

from adapters.dicom.network.scu import Refusal, Sender
from adapters.hl7.mllp.client import send

FHIR = {"Content-Type": "application/fhir+json"}
MEGABYTE = 1 << 20
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("server")]


def memory(running: Running) -> dict[str, int]:
    return {n: psutil.Process(p).memory_info().rss for n, p in running.said["children"].items()}


def posted(running: Running, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    request = urllib.request.Request(f"{running.said['base']}/Patient", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["issue"][0]["code"]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b'{"resourceType":"Patient","name":[{"fam', FHIR, (400, "structure")),
        (b"{}", {"Content-Type": "text/html"}, (415, "not-supported")),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, FHIR, (400, "structure")),
        (b'{"resourceType":"Patient","id":"a\x00b"}', FHIR, (400, "structure")),
        (b'{"resourceType":"Patient","language":"a\\u0000b"}', FHIR, (400, "structure")),
        (b'{"resourceType":"Patient","gender":"\xff\xfe"}', FHIR, (400, "structure")),
        (b'{"resourceType":"Patient","multipleBirthInteger":1e999999}', FHIR, (400, "structure")),
        (b"null", FHIR, (400, "structure")),
        (b"", FHIR, (400, "structure")),
    ],
)
def test_bad_bodies_are_refused(
    running: Running, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert posted(running, body, headers) == expected


def test_a_body_of_100_megabytes_is_refused_and_not_kept(running: Running) -> None:
    before, patients = memory(running)["http 0"], running.total("Patient")
    address = ("127.0.0.1", running.port("http"))
    for _ in range(3):
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(
                b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/fhir+json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"100000\r\n" + b" " * MEGABYTE + b"\r\n"
            try:
                for _ in range(100):
                    connection.sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 413")
    assert memory(running)["http 0"] - before < 64 * MEGABYTE
    assert running.total("Patient") == patients


def test_oru_without_pid_is_an_error_and_is_kept(running: Running) -> None:
    message = (
        b"MSH|^~\\&|A|B|C|D|20260302||ORU^R01|NOPID|P|2.5.1\rOBR|1|||X\rOBX|1|NM|1^x||5|mg|||||F\r"
    )
    observations = running.total("Observation")
    (answer,) = send("127.0.0.1", running.port("mllp"), [message])
    assert answer.code in {"AE", "AR"}
    assert b"\rERR|" in answer.raw
    assert running.total("Observation") == observations


def test_an_mllp_stream_without_end_does_not_fill_the_memory(running: Running) -> None:
    before = memory(running)["mllp"]
    address = ("127.0.0.1", running.port("mllp"))
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(b"\x0bMSH|^~\\&|A|B|C|D|20260302||ORU^R01|ENDLESS|P|2.5.1\r")
        answer = b""
        try:
            for _ in range(200):
                connection.sendall(b"x" * MEGABYTE)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            answer = b""
    assert b"|AA|" not in answer
    assert memory(running)["mllp"] - before < 192 * MEGABYTE
    good = b"MSH|^~\\&|A|B|C|D|20260302||ORU^R01|G1|P|2.5.1\rPID|1||1^^^H^MR\rOBR|1|||X\r"
    assert [one.code for one in send("127.0.0.1", running.port("mllp"), [good])] != []


def test_an_association_for_an_unknown_ae_title_is_rejected(running: Running) -> None:
    with pytest.raises(Refusal) as rejected:
        Sender(("127.0.0.1", running.port("dicom")), called="NOBODY", calling="TEST")
    # Result 1 (permanent), source 1 (service user), reason 7 (called AE title), PS3.8, 9.3.4.
    assert tuple(rejected.value.body[-3:]) == (1, 1, 7)


def test_garbage_on_the_dicom_port_ends_the_connection_only(running: Running) -> None:
    address = ("127.0.0.1", running.port("dicom"))
    for junk in (b"GET / HTTP/1.1\r\n\r\n", struct.pack(">BBI", 1, 0, 0xFFFFFFF0), b"\x00" * 64):
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    with Sender(address, called="SANGAM", calling="TEST") as sender:
        assert sender.echo() == 0
