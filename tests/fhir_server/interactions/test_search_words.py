"""`_text`, `_content` and the modifier `text`: which words find which resource."""

from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from search import storing

from fhir_server.search.registry import Registry
from fhir_server.server import Server

from .searching import Json, get, ids, links, observation, patient, put, ref, shown, store

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'


def narrated(id_: str, inside: str, **more: object) -> Json:
    text = {"status": "generated", "div": f"<div {XHTML}>{inside}</div>"}
    return patient(id_, text=text, **more)


# Each differs from a neighbour in just what some query asks.
RESOURCES: list[Json] = [
    narrated("bone", "<p>Metastases in the <b>bone</b></p>"),
    narrated("liver", "<p>Metastases in the liver</p>"),
    narrated("both", "<p>Bone and liver are <i>healthy</i></p>"),
    narrated("heart", "<table><tr><td>Heart</td><td>attack, in 2019</td></tr></table>"),
    narrated("attack", "<p>An attack of the heart</p>"),
    narrated("marked", "<p title='bone'>A&amp;B caf&eacute; x&lt;bone2&gt; H<sub>2</sub>O</p>"),
    narrated("comment", "<p>seen<!-- bone --></p>"),
    narrated("none", ""),
    narrated("hindi", "<p>हृदय रोग कृष्ण</p>"),
    narrated("hindi2", "<p>हृदय रोग कृष्णा</p>"),
    narrated("tamil", "<p>நெஞ்சு வலி கிருஷ்ணன்</p>"),
    patient("silent", name=[{"family": "Bone", "given": ["Liver"]}]),
    patient("number", identifier=[{"system": "urn:bone", "value": "MR-5.4/77"}]),
    patient(
        "extended",
        extension=[{"url": "http://bone.org", "valueString": "Zebra crossing"}],
        contained=[{"resourceType": "Organization", "id": "zebra", "name": "Quagga clinic"}],
        managingOrganization=ref("#zebra"),
    ),
    patient(
        "apart",
        name=[{"family": "Heart", "given": ["Attack"]}],
        address=[{"line": ["heart"], "city": "attack"}],
    ),
]


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, RESOURCES)
    return client


NARRATIVES = [
    ("bone", "bone both"),
    ("BONE", "bone both"),
    ("(bone OR liver) and metastases", "bone liver"),
    ("bone liver", "both"),
    ("bone AND liver", "both"),
    ("bone and not metastases", "both"),
    ("bone or liver", "bone both liver"),
    ("bone,liver", "bone both liver"),
    ("bone or liver and healthy", "bone both"),
    ("(bone or liver) healthy", "both"),
    ("(bone,heart) (in,of)", "attack bone heart"),
    ("bone,heart in", "bone both heart"),
    ('"heart attack"', "heart"),
    ('"attack of the heart"', "attack"),
    ('"heart in"', ""),
    ('heart "attack in 2019"', "heart"),
    ("metastas*", "bone liver"),
    ("metastas", ""),
    ("met* liv*", "liver"),
    ("café", "marked"),
    ("CAFE", "marked"),
    ("cafe\N{COMBINING ACUTE ACCENT}", "marked"),
    ("bone2", "marked"),
    ("h2o", "marked"),
    ("A&B", "marked"),
    ('"a b cafe"', "marked"),
    ("title", ""),
    ("हृदय", "hindi hindi2"),
    ("कृष्ण", "hindi"),
    ("कृष्णा", "hindi2"),
    ("कृष्ण*", "hindi hindi2"),
    ("कृ\N{ZERO WIDTH JOINER}ष्\N{ZERO WIDTH NON-JOINER}ण", "hindi"),
    ("கிருஷ்ணன்", "tamil"),
    ("கிருஷ்ண", ""),
    ('"நெஞ்சு வலி"', "tamil"),
    ('"வலி நெஞ்சு"', ""),
    ("zebra", ""),
    ("seen not bone", "comment"),
    ("not not liver", "both liver"),
    (r"heart\, in", "heart"),
    ('"and"', "both"),
    ("the", "attack bone liver"),
]


@pytest.mark.parametrize(("asked", "expected"), NARRATIVES, ids=[a for a, _ in NARRATIVES])
async def test_words_of_the_narrative(asked: str, expected: str, filled: httpx.AsyncClient) -> None:
    assert ids(await get(filled, f"/Patient?_text={quote(asked)}")) == expected


STRINGS = [
    ("bone", "bone both silent"),
    ("bone liver", "both silent"),
    ('"bone liver"', ""),
    ("MR-5.4/77", "number"),
    ("5.4", "number"),
    ('"5 4"', "number"),
    ("4.5", ""),
    ("77", "number"),
    ("zebra", "extended"),
    ("quagga", "extended"),
    ('"zebra crossing"', "extended"),
    ('"crossing quagga"', ""),
    ('"heart attack"', "heart"),
    ("heart attack", "apart attack heart"),
    ("https", ""),
    ("Patient", ""),
    ("urn:bone", ""),
]


@pytest.mark.parametrize(("asked", "expected"), STRINGS, ids=[a for a, _ in STRINGS])
async def test_words_of_the_whole(asked: str, expected: str, filled: httpx.AsyncClient) -> None:
    assert ids(await get(filled, f"/Patient?_content={quote(asked)}")) == expected


async def test_a_resource_without_a_text_lacks_every_word(filled: httpx.AsyncClient) -> None:
    everybody = {one["id"] for one in RESOURCES}
    for asked, without in (
        ("not bone", {"bone", "both"}),
        ("not bone or heart", {"bone", "both"}),
        ("not (bone or liver)", {"bone", "both", "liver"}),
        ("not bone not liver", {"bone", "both", "liver"}),
        ("not bone,not liver", {"both"}),
        ('not "heart attack"', {"heart"}),
    ):
        found = ids(await get(filled, f"/Patient?_text={quote(asked)}"))
        assert set(found.split()) == everybody - without, asked


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("(bone", 6),
        ("bone)", 5),
        ("bone or", 8),
        ("or bone", 1),
        ("bone and or liver", 10),
        ("bone not", 9),
        ('bone "liver', 6),
        ("bone ()", 7),
        ("bone,,liver", 6),
        (",bone", 1),
        ("bone +", 6),
        ('bone ""', 6),
        ("bone *", 6),
        ("bone\\", 5),
        (r"bone li\ver", 6),
        ("(" * 11 + "a" + ")" * 11, 11),
    ],
)
async def test_a_text_that_cannot_be_read_is_refused_with_its_place(
    asked: str, place: int, client: httpx.AsyncClient
) -> None:
    for name in ("_text", "_content"):
        (issue,) = (await get(client, f"/Patient?{name}={quote(asked)}", 400))["issue"]
        assert (issue["code"], issue["expression"]) == ("value", [name])
        assert issue["details"]["text"].endswith(f"(character {place})")
        assert "bone" not in issue["details"]["text"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("Patient?_text:exact=x", "not-supported"),
        ("Patient?_content:missing=true", "not-supported"),
        ("Bundle?_text=x", "invalid"),
        ("Patient?_text=", "invalid"),
        ("Patient?_text=" + "a " * 101, "too-costly"),
        ("Patient?_sort=_score", "invalid"),
    ],
)
async def test_what_else_is_refused(asked: str, code: str, client: httpx.AsyncClient) -> None:
    (issue,) = (await get(client, f"/{asked}", 400))["issue"]
    assert issue["code"] == code


async def test_words_are_looked_for_in_all_types_and_behind_references(
    server: Server, client: httpx.AsyncClient
) -> None:
    narrative = {"status": "generated", "div": f"<div {XHTML}>okapi</div>"}
    await store(
        server,
        [
            narrated("p", "<p>okapi</p>"),
            narrated("q", "<p>other</p>"),
            observation("o1", "Patient/p"),
            observation("o2", "Patient/q", text=narrative),
            {"resourceType": "Binary", "id": "b", "contentType": "text/plain"},
        ],
    )
    assert sorted(shown(await get(client, "/?_text=okapi"))) == ["Observation/o2", "Patient/p"]
    assert ids(await get(client, "/Observation?subject._text=okapi")) == "o1"
    assert ids(await get(client, "/Observation?subject:Patient._content=okapi")) == "o1"
    assert ids(await get(client, "/Observation?_text=okapi&subject._text=other")) == "o2"
    assert ids(await get(client, "/Patient?_has:Observation:subject:_text=okapi")) == "q"


async def test_words_follow_what_is_stored(client: httpx.AsyncClient) -> None:
    await put(client, narrated("p", "<p>okapi</p>"))
    await put(client, narrated("p", "<p>zebra</p>"))
    assert ids(await get(client, "/Patient?_text=okapi")) == ""
    assert ids(await get(client, "/Patient?_text=zebra")) == "p"
    await client.delete("/Patient/p")
    assert ids(await get(client, "/Patient?_text=zebra")) == ""


async def test_the_best_come_first_on_every_page(server: Server, client: httpx.AsyncClient) -> None:
    times = {"twice": 2, "five": 5, "once": 1, "thrice": 3, "never": 0}
    await store(
        server,
        [narrated(one, f"<p>{'okapi ' * n}{'x ' * (9 - n)}</p>") for one, n in times.items()],
    )
    expected = ["five", "thrice", "twice", "once"]
    for sort in ("_score", "-_score", "_score,_id"):
        bundle = await get(client, f"/Patient?_text=okapi&_sort={sort}&_count=3")
        following = await get(client, links(bundle)["next"])
        found = [*shown(bundle), *shown(following)]
        assert found == [f"Patient/{one}" for one in expected], sort
    bundle = await get(client, "/Patient?_text=okapi&_filter=_id ne five&_sort=_score")
    assert shown(bundle) == ["Patient/thrice", "Patient/twice", "Patient/once"]


async def test_the_narrative_counts_more_in_a_score(
    server: Server, client: httpx.AsyncClient
) -> None:
    await store(
        server,
        [narrated("told", "<p>okapi</p>"), patient("named", name=[{"text": "okapi"}])],
    )
    bundle = await get(client, "/Patient?_content=okapi&_sort=_score")
    assert shown(bundle) == ["Patient/told", "Patient/named"]


async def test_what_holds_without_a_word_has_no_score(filled: httpx.AsyncClient) -> None:
    plain = shown(await get(filled, "/Patient?_text=not bone"))
    assert shown(await get(filled, "/Patient?_text=not bone&_sort=_score")) == plain
    assert len(plain) == len(RESOURCES) - 2


async def test_later_words_of_a_long_text_are_not_indexed(
    server: Server, client: httpx.AsyncClient
) -> None:
    long = " ".join(f"w{n}" for n in range(20_000))
    await store(
        server, [narrated("long", f"<p>{long}</p>"), patient("named", name=[{"text": long}])]
    )
    for name, found in (("_text", "long"), ("_content", "long named")):
        assert ids(await get(client, f"/Patient?{name}=w9000")) == found
        assert ids(await get(client, f"/Patient?{name}=w19999")) == ""


@pytest.mark.parametrize("word", ["a" * 5_000, "क" * 5_000, "𐎠" * 5_000])
async def test_a_word_without_end_is_cut_alike_in_text_and_query(
    word: str, client: httpx.AsyncClient
) -> None:
    await put(client, patient("p", name=[{"family": word[:3000]}]))
    answer = await client.post("/Patient/_search", data={"_content": word})
    assert ids(answer.json()) == "p"


def coded(id_: str, *displays: str, text: str | None = None, **more: object) -> Json:
    codings = [{"system": "urn:s", "code": f"c{n}", "display": d} for n, d in enumerate(displays)]
    code = {"coding": codings, **({} if text is None else {"text": text})}
    return observation(id_, "Patient/x", **{**more, "code": "unused"}) | {"code": code}


CODED = [
    coded("temp", "Body temperature", text="Temp. of core"),
    coded("core", "Core body temperature"),
    coded("two", "Body mass", "Temperature of skin"),
    coded("hindi", text="शरीर का तापमान"),
    coded("tamil", text="உடல் வெப்பநிலை"),
    coded("bare"),
    coded("method", "x") | {"method": {"text": "Body temperature"}},
    coded("part", "x", component=[{"code": {"text": "Body temperature"}}]),
]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("code:text=body", "core temp two"),
        ("code:text=bod", "core temp two"),
        ("code:text=ody", ""),
        ("code:text=temp", "core temp two"),
        ("code:text=body temp", "core temp"),
        ("code:text=Body Temperature", "core temp"),
        ("code:text=body temperature of", ""),
        ("code:text=mass temperature", ""),
        ("code:text=temperature body", ""),
        ("code:text=temp. of co", "temp"),
        ("code:text=skin,mass", "two"),
        ("code:text=core", "core temp"),
        ("code:text=c0", ""),
        ("code:text=urn", ""),
        ("code:text=शरीर का ताप", "hindi"),
        ("code:text=शरी", "hindi"),
        ("code:text=शर", "hindi"),
        ("code:text=தாப", ""),
        ("code:text=வெப்ப", "tamil"),
        ("code:text=வப்ப", ""),
        ("method:text=body", "method"),
        ("component-code:text=body", "part"),
        ("combo-code:text=body temp", "core part temp"),
        ("code:text=body&code:text=skin", "two"),
        ("code:text=body&method:missing=true", "core temp two"),
    ],
)
async def test_texts_of_codes(
    asked: str, expected: str, server: Server, client: httpx.AsyncClient
) -> None:
    await store(server, CODED)
    assert ids(await get(client, f"/Observation?{asked}")) == expected


async def test_texts_of_codings_and_of_the_types_of_identifiers(
    server: Server, client: httpx.AsyncClient
) -> None:
    tag = {"system": "urn:t", "code": "t", "display": "Needs review"}
    kind = {"text": "Ration card", "coding": [{"display": "Other"}]}
    await store(
        server,
        [
            patient("tagged", meta={"tag": [tag]}),
            patient("known", identifier=[{"type": kind, "value": "review"}]),
        ],
    )
    assert ids(await get(client, "/Patient?_tag:text=review")) == "tagged"
    assert ids(await get(client, "/Patient?identifier:text=card")) == "known"
    assert ids(await get(client, "/Patient?identifier:text=other,review")) == ""
    assert ids(await get(client, "/Observation?patient._tag:text=review")) == ""
    await get(client, "/Patient?gender:text=f", 400)
    await get(client, "/Patient?identifier:text=-", 400)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("name:text=berg", "a b"),
        ("name:text=der b", "a"),
        ("name:text=erg", ""),
        ("name:text=bergen", "b"),
        ("family:text=van der", "a"),
        ("name:text=कृ", "c"),
        ("name:text=ष्ण", ""),
    ],
)
async def test_texts_of_strings_begin_at_a_word(
    asked: str, expected: str, server: Server, client: httpx.AsyncClient
) -> None:
    await store(
        server,
        [
            patient("a", name=[{"family": "van der Berg"}]),
            patient("b", name=[{"text": "Ann Bergen"}]),
            patient("c", name=[{"family": "राधा कृष्ण"}]),
        ],
    )
    assert ids(await get(client, f"/Patient?{asked}")) == expected


async def test_words_are_in_the_rows_of_the_one_write_path(server: Server) -> None:
    written = storing.write(narrated("p", "<p>a b</p>"), 1, server.registry)
    assert written.index is not None
    assert written.index.ranges["idx_words"] == [(0, "'a':1A 'b':2A")]


def speaking(server: Server, **settings: object) -> None:
    """Let the server index and search by another context."""
    context = replace(server.registry.context, **settings)  # type: ignore[arg-type]
    server.in_force.registry = Registry.build(server.definitions, context)


@pytest.mark.parametrize(
    ("language", "stored", "asked", "found"),
    [
        ("simple", "fractured ribs", "fracture rib", ""),
        ("english", "fractured ribs", "fractures rib", "p"),
        ("english", "fractured ribs", '"fracture rib"', "p"),
        ("english", "fractured ribs", "ribald", ""),
        ("english", "fractured ribs", "fract*", "p"),
        ("hindi", "लड़कियाँ", "लड़की", "p"),
        ("simple", "लड़कियाँ", "लड़की", ""),
        ("tamil", "மருந்துகள்", "மருந்து", "p"),
    ],
)
async def test_words_lose_the_endings_of_the_language(
    language: str,
    stored: str,
    asked: str,
    found: str,
    server: Server,
    client: httpx.AsyncClient,
) -> None:
    speaking(server, text_language=language)
    await store(server, [narrated("p", f"<p>{stored}</p>")])
    assert ids(await get(client, f"/Patient?_text={asked}")) == found


async def test_without_full_text_only_the_texts_of_codes_are_words(
    server: Server, client: httpx.AsyncClient
) -> None:
    speaking(server, full_text=False)
    await store(server, CODED)
    assert ids(await get(client, "/Observation?code:text=skin")) == "two"
    for name in ("_text", "_content"):
        (issue,) = (await get(client, f"/Observation?{name}=skin", 400))["issue"]
        assert (issue["code"], issue["expression"]) == ("not-supported", [name])
    speaking(server, full_text=True)
    assert ids(await get(client, "/Observation?_content=skin")) == ""
