import pytest

from fhir_server.errors import BadRequest
from fhir_server.search.string import normalise

from .matching import Json, finds, query


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Müller", "muller"),
        ("  José   María ", "jose maria"),
        ("O'Brien-Smith", "o brien smith"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Ångström", "angstrom"),
        ("ﬁne", "fine"),
        ("50% <a>", "50 <a>"),
        ("किरण", "किरण"),
        ("क़लम", "कलम"),
        ("தமிழ்", "தமிழ்"),
        ("", ""),
        ("...", ""),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_a_normal_form_is_its_own() -> None:
    for text in ("Müller", "क़लम", "ñandú-x", "Ǆ"):
        assert normalise(normalise(text)) == normalise(text)


def patient(**name: object) -> Json:
    return {"resourceType": "Patient", "name": [name]}


BERG = patient(family="van der Berg", given=["Anna", "Maria"], prefix=["Dr."])
LONG = "x" * 250


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("name=van", BERG, True),
        ("name=berg", BERG, True),
        ("name=der", BERG, True),
        ("name=erg", BERG, False),
        ("name=anna maria van der", BERG, True),
        ("name=maria van", BERG, False),
        ("name=dr", BERG, True),
        ("name=ANNA", BERG, True),
        ("name=peter,anna", BERG, True),
        ("name=peter&name=anna", BERG, False),
        ("name=berg&name=anna", BERG, True),
        ("family=berg", BERG, True),
        ("family=anna", BERG, False),
        ("given=mar", BERG, True),
        ("given=berg", BERG, False),
        ("name:exact=van der Berg", BERG, True),
        ("name:exact=Berg", BERG, False),
        ("name:exact=van der berg", BERG, False),
        ("name:exact=van", BERG, False),
        ("name:exact=Anna", BERG, True),
        ("name:contains=ERG", BERG, True),
        ("name:contains=a v", BERG, True),
        ("name:contains=xyz", BERG, False),
        ("name:missing=false", BERG, True),
        ("name:missing=true", BERG, False),
        ("name:missing=true", {"resourceType": "Patient"}, True),
        ("family=muller", patient(family="Müller"), True),
        ("family=Müller", patient(family="Muller"), True),
        ("family:exact=Muller", patient(family="Müller"), False),
        ("family:exact=Mu\u0308ller", patient(family="Müller"), True),
        ("family=किर", patient(family="किरण"), True),
        ("family=करण", patient(family="किरण"), False),
        ("family=किरण", patient(family="करण"), False),
        ("family=தமிழ", patient(family="தமிழ்"), True),
        ("family=தமழ்", patient(family="தமிழ்"), False),
        ("family=ਗੁਰਪ੍ਰੀਤ", patient(family="ਗੁਰਪ੍ਰੀਤ"), True),
        ("family=ਗੁਰਪੀਤ", patient(family="ਗੁਰਪ੍ਰੀਤ"), False),
        # Acceptance 10: found by its own spelling, not by one that differs in a vowel sign.
        ("family=शर्मा", patient(family="शर्मा"), True),
        ("family=शर्मी", patient(family="शर्मा"), False),
        ("family=शरमा", patient(family="शर्मा"), False),
        ("family:contains=र्म", patient(family="शर्मा"), True),
        ("family:contains=रम", patient(family="शर्मा"), False),
        ("family=ज़ैदी", patient(family="जैदी"), True),
        ("family:exact=ज़ैदी", patient(family="जैदी"), False),
        ("family:exact=ज़ैदी", patient(family="ज\u093cैदी"), True),
        ("family=முருகன்", patient(family="முருகன்"), True),
        ("family=முருகன", patient(family="முருகன்"), True),
        ("family=முருகன்", patient(family="முருகன"), False),
        ("family=முருகான்", patient(family="முருகன்"), False),
        ("family=கோ", patient(family="க\u0bc7\u0bbe"), True),  # one vowel sign, or its two parts
        ("family:exact=கோ", patient(family="க\u0bc7\u0bbe"), True),
        ("family=கே", patient(family="காே"), False),
        ("family=நீலா", patient(family="நிலா"), False),
        ("family=çelik", patient(family="CELİK"), True),
        ("family=Đặng", patient(family="Dang"), False),  # the stroke is no mark
        ("family=ngô", patient(family="Ngo"), True),
        ("family=νίκος", patient(family="ΝΙΚΟΣ"), True),
        ("family:contains=100%25", patient(family="x100%y"), True),
        ("family:contains=1%250", patient(family="x100%y"), False),
        ("family:contains=1_0", patient(family="x100y"), False),
        (f"family={LONG}", patient(family=LONG + "y"), True),
        (f"family={LONG}z", patient(family=LONG + "y"), False),
        (f"family:contains={LONG}y", patient(family="a" + LONG + "y"), True),
        ("address=pune", {"resourceType": "Patient", "address": [{"city": "Pune"}]}, True),
        ("address=st 5", {"resourceType": "Patient", "address": [{"line": ["St. 5"]}]}, True),
        ("address-city=pune", {"resourceType": "Patient", "address": [{"text": "Pune"}]}, False),
        (r"family=a\,b", patient(family="a,b"), True),
        ("family=a,b", patient(family="b"), True),
    ],
)
def test_strings(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


def test_a_search_for_punctuation_alone_is_refused() -> None:
    with pytest.raises(BadRequest):
        query("Patient", "name=...")


def test_a_null_beside_an_extension_is_no_value() -> None:
    stored = patient(given=[None, "Anna"], _given=[{"extension": []}, None])
    assert finds("given=anna", stored)
    assert finds("family:missing=true", stored)
