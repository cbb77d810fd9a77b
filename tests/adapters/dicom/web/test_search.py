"""QIDO-RS over a real index."""

import pytest
from pydicom.dataset import Dataset

from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings, DicomWebSettings
from tests.adapters.dicom.query.conftest import instance
from tests.adapters.dicom.web.conftest import ROOT, Site, parts

STUDY = {
    "SpecificCharacterSet": "ISO_IR 192",
    "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "PatientID": "P1",
    "PatientSex": "M",
    "StudyInstanceUID": "1.1",
    "StudyDate": "20260110",
    "AccessionNumber": "A1",
    "StudyID": "7",
}


def step(first: str, second: str) -> Dataset:
    made = Dataset()
    made.ScheduledProcedureStepID, made.RequestedProcedureID = first, second
    return made


def filled(site: Site) -> None:
    """Two studies of one patient and one of another; the first has two series."""
    ct = {"Modality": "CT", "SeriesInstanceUID": "1.1.1", "SeriesNumber": "2"}
    sr = {"Modality": "SR", "SeriesInstanceUID": "1.1.2", "SeriesNumber": "1"}
    mr = {"Modality": "MR", "SeriesInstanceUID": "1.2.1"}
    steps = {"RequestAttributesSequence": [step("S1", "R1"), step("S2", "R2")]}
    second = {"PatientName": "Müller^Jörg Hans", "PatientID": "P2", "StudyInstanceUID": "1.2"}
    site.keep(
        instance("1.1.1.1", **STUDY, **ct, InstanceNumber="10", Rows=64, Columns=32),
        instance("1.1.1.2", **STUDY, **ct, InstanceNumber="9"),
        instance("1.1.2.1", **STUDY, **sr),
        instance("1.2.1.1", **second, **mr, **steps, SpecificCharacterSet="ISO_IR 100"),
        instance("1.3.1.1", PatientID="P1", StudyInstanceUID="1.3", SeriesInstanceUID="1.3.1",
                 StudyDate="20260111"),
    )  # fmt: skip


def uids(found: list[dict[str, object]], tag: str) -> list[str]:
    return [one[tag]["Value"][0] for one in found]


MATCHES = {
    "everything, newest first": ("studies", "0020000D", ["1.3", "1.1", "1.2"]),
    "keyword": ("studies?PatientID=P2", "0020000D", ["1.2"]),
    "tag": ("studies?00100020=P2", "0020000D", ["1.2"]),
    "a name without accents": ("studies?PatientName=muller*", "0020000D", ["1.2"]),
    "percent-encoded": ("studies?PatientName=YAMADA%5Etar%2A", "0020000D", ["1.1"]),
    "an ideographic name": ("studies?PatientName=%E5%B1%B1%E7%94%B0*", "0020000D", ["1.1"]),
    "a range of dates": ("studies?StudyDate=20260101-20260110", "0020000D", ["1.1"]),
    "UIDs by comma": ("studies?StudyInstanceUID=1.2,1.3", "0020000D", ["1.3", "1.2"]),
    "UIDs by backslash": ("studies?StudyInstanceUID=1.2%5C1.3", "0020000D", ["1.3", "1.2"]),
    "modalities in the study": ("studies?ModalitiesInStudy=SR", "0020000D", ["1.1"]),
    "an attribute inside of a sequence": (
        "series?00400275.00400009=S2", "0020000E", ["1.2.1"],
    ),
    "two of one item": (
        "series?RequestAttributesSequence.00400009=S2&00400275.RequestedProcedureID=R1",
        "0020000E", [],
    ),
    "an empty value is universal": ("studies?AccessionNumber=", "0020000D", ["1.3", "1.1", "1.2"]),
    "an empty value is none": (
        "studies?AccessionNumber=&emptyvaluematching=true", "0020000D", ["1.3", "1.2"],
    ),
    "fuzzy: words begin words": (
        "studies?PatientName=han%20mul&fuzzymatching=true", "0020000D", ["1.2"],
    ),
    "literal unless fuzzy": ("studies?PatientName=han%20mul", "0020000D", []),
    "any value within a sequence": (
        "series?RequestAttributesSequence.00400009=*&SeriesNumber=2", "0020000E", ["1.1.1"],
    ),
    "a series by number": ("series?SeriesNumber=02", "0020000E", ["1.1.1"]),
    "series of a study by number": ("studies/1.1/series", "0020000E", ["1.1.2", "1.1.1"]),
    "another study than the path's": ("studies/1.1/series?StudyInstanceUID=1.2", "0020000E", []),
    "instances by number": (
        "studies/1.1/series/1.1.1/instances", "00080018", ["1.1.1.2", "1.1.1.1"],
    ),
    "instances of a study": (
        "studies/1.1/instances", "00080018", ["1.1.2.1", "1.1.1.2", "1.1.1.1"],
    ),
    "instances": ("instances?Modality=MR", "00080018", ["1.2.1.1"]),
    "a page": ("studies?limit=1&offset=1", "0020000D", ["1.1"]),
    "no page": ("studies?limit=0", "0020000D", []),
}  # fmt: skip


async def test_each_search_finds_what_it_says(site: Site) -> None:
    filled(site)
    for name, (path, tag, expected) in MATCHES.items():
        response = await site.get(f"/{path}")
        assert (name, response.status_code) == (name, 200), response.text
        assert (name, uids(response.json(), tag)) == (name, expected)


async def test_studies_of_a_day_come_newest_first(site: Site) -> None:
    times = {"1.1": "080000", "1.2": "173000.5", "1.3": "", "1.4": "1200"}
    site.keep(
        *(
            instance(f"{uid}.1.1", StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1",
                     StudyDate="20260111", StudyTime=time)
            for uid, time in times.items()
        ),
    )  # fmt: skip
    found = (await site.get("/studies")).json()
    assert uids(found, "0020000D") == ["1.2", "1.4", "1.1", "1.3"]


async def test_results_have_the_default_fields_and_where_to_retrieve(site: Site) -> None:
    filled(site)
    response = await site.get("/studies?PatientSex=M")
    assert response.headers["content-type"] == "application/dicom+json"
    assert response.json() == [
        {
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080020": {"vr": "DA", "Value": ["20260110"]},
            "00080030": {"vr": "TM"},
            "00080050": {"vr": "SH", "Value": ["A1"]},
            "00080056": {"vr": "CS", "Value": ["ONLINE"]},
            "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
            "00080090": {"vr": "PN"},
            "00081190": {"vr": "UR", "Value": [f"{ROOT}/studies/1.1"]},
            "00100010": {
                "vr": "PN",
                "Value": [
                    {
                        "Alphabetic": "Yamada^Tarou",
                        "Ideographic": "山田^太郎",
                        "Phonetic": "やまだ^たろう",
                    }
                ],
            },
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00100030": {"vr": "DA"},
            "00100040": {"vr": "CS", "Value": ["M"]},
            "0020000D": {"vr": "UI", "Value": ["1.1"]},
            "00200010": {"vr": "SH", "Value": ["7"]},
            "00201206": {"vr": "IS", "Value": [2]},
            "00201208": {"vr": "IS", "Value": [3]},
        }
    ]
    [instance_] = (await site.get("/instances?SOPInstanceUID=1.1.1.1")).json()
    assert {"0020000D", "0020000E", "00080018", "00100020", "00080060"} <= set(instance_)
    assert instance_["00280010"] == {"vr": "US", "Value": [64]}
    assert uids([instance_], "00081190") == [f"{ROOT}/studies/1.1/series/1.1.1/instances/1.1.1.1"]
    [series] = (await site.get("/studies/1.1/series?Modality=SR")).json()
    assert "00100020" not in series
    assert series["00201209"] == {"vr": "IS", "Value": [1]}


async def test_includefield_adds_attributes_by_keyword_tag_or_all(site: Site) -> None:
    filled(site)
    path = "/studies?PatientSex=M&includefield=SOPClassesInStudy,00081030&includefield=00091001"
    [plain] = (await site.get(path)).json()
    assert plain["00080062"] == {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}
    assert plain["00081030"] == {"vr": "LO"}
    [whole] = (await site.get("/series?includefield=all&Modality=MR")).json()
    items = whole["00400275"]["Value"]
    assert [item["00400009"]["Value"] for item in items] == [["S1"], ["S2"]]
    assert whole["0020000D"]["Value"] == ["1.2"]


REFUSED = (
    "NoSuchAttribute=1",
    "00091001=1",
    "StudyDescription.StudyID=1",
    "limit=-1",
    "limit=x",
    "offset=1.5",
    "fuzzymatching=maybe",
    "includefield=Nonsense",
    "Modality=CT",
    "NumberOfStudyRelatedInstances=1",
    "PatientID=1&00100020=2",
    "RequestAttributesSequence=x",
)


async def test_what_cannot_be_understood_or_matched_is_refused(site: Site) -> None:
    found = {query: (await site.get(f"/studies?{query}")).status_code for query in REFUSED}
    assert found == dict.fromkeys(REFUSED, 400)


async def test_pages_hold_every_study_once_and_tell_of_more(site: Site) -> None:
    filled(site)
    found = []
    for offset in range(4):
        response = await site.get(f"/studies?limit=1&offset={offset}")
        found += uids(response.json(), "0020000D")
        more = "There are additional results that can be requested"
        expected = f"299 {ROOT}: {more}" if offset < 2 else None
        assert response.headers.get("warning") == expected
    assert found == ["1.3", "1.1", "1.2"]


class TestSettings:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        web = DicomWebSettings(limit=2, max_limit=2, unsupported_key="ignore", empty_status=204)
        return settings.model_copy(update={"dicom": DicomSettings(web=web)})

    async def test_limits_unmatched_keys_and_empty_answers_follow_the_settings(
        self, site: Site
    ) -> None:
        filled(site)
        assert len((await site.get("/studies")).json()) == 2
        assert len((await site.get("/studies?limit=50")).json()) == 2
        ignored = await site.get("/studies?Modality=CT&StudyInstanceUID=1.1")
        assert uids(ignored.json(), "0020000D") == ["1.1"]
        assert ignored.headers["warning"] == (
            f"299 {ROOT}: These attributes are not matched: Modality"
        )
        assert (await site.get("/studies?PatientID=nobody")).status_code == 204


async def test_results_are_xml_parts_or_not_acceptable(site: Site) -> None:
    filled(site)
    response = await site.get("/studies", 'multipart/related; type="application/dicom+xml"')
    found = parts(response)
    assert [head["Content-Type"] for head, _ in found] == ["application/dicom+xml"] * 3
    assert b'<DicomAttribute tag="00100020" vr="LO" keyword="PatientID">' in found[0][1]
    assert (await site.get("/studies", "text/html")).status_code == 406


async def test_rejected_instances_are_not_found(site: Site) -> None:
    filled(site)
    deleted = await site.http.delete("/studies/1.1/series/1.1.1")
    assert deleted.status_code == 204
    assert uids((await site.get("/studies/1.1/series")).json(), "0020000E") == ["1.1.2"]
    assert (await site.get("/studies/1.1/series/1.1.1")).status_code == 404
    assert (await site.http.delete("/studies/1.1/series/9.9")).status_code == 404
    assert (await site.http.delete("/studies/1.2?code=1")).status_code == 400
