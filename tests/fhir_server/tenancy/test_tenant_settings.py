"""What a tenant has of the installation's settings, and what it must not share."""

from typing import Any

import pytest

from fhir_server.bases import beside, of_tenant
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.security_settings import SecuritySettings
from fhir_server.tenancy import tenant
from fhir_server.tenancy.own_settings import check_apart, settings_of

INSTALLATION = Settings(
    data_dir="data",
    base_aliases=("https://old.example/fhir",),
    mllp_port=2575,
    search={"default_count": 7, "max_count": 70},
    hl7={"profiles_dir": "profiles", "channels": [{"name": "lab", "port": 2600}]},
    dicom={"ae_titles": ["MAIN"], "s3": {"bucket": "pictures"}, "processes": 3},
    packages={"folder": "packages"},
)


def of(**own: Any) -> Settings:
    return settings_of(INSTALLATION, tenant.new("north", own))


def test_rules_are_the_installations_but_for_what_the_tenant_says() -> None:
    search = of(search={"max_count": 20}).search
    assert (search.default_count, search.max_count) == (7, 20)


def test_what_names_ports_folders_and_other_systems_is_not_inherited() -> None:
    found = of()
    assert (found.hl7.channels, found.hl7.profiles_dir, found.hl7.plain_port) == ((), "", False)
    assert (found.dicom.ae_titles, found.dicom.s3.bucket, found.packages.folder) == ((), "", "")
    assert found.dicom.processes == 3
    assert str(found.data_dir) == "data/tenants/north"
    assert found.base_aliases == ("https://old.example/fhir/t/north",)
    assert (found.astm_port, of(astm={"port": 2603}).astm_port) == (None, 2603)


def test_an_issuer_whose_tokens_name_no_tenant_is_not_inherited() -> None:
    shared = {"clients": ["*"], "audience": "api"}
    issuers = [
        {"url": "https://a.example", **shared, "tenant_claim": ""},
        {"url": "https://b.example", **shared},
        {"url": "https://c.example", "clients": ["*"], "tenant_claim": ""},
    ]
    whole = INSTALLATION.model_copy(update={"security": SecuritySettings(issuers=issuers)})
    found = settings_of(whole, tenant.new("north")).security.issuers
    assert [one.url for one in found] == ["https://b.example", "https://c.example"]
    own = tenant.new("north", {"security": {"issuers": issuers[:1]}})
    assert [one.url for one in settings_of(whole, own).security.issuers] == ["https://a.example"]


def test_a_quota_of_bytes_holds_for_dicom_files_too() -> None:
    limited = tenant.new("north", {"dicom": {"quota_bytes": 500}}, max_bytes=100)
    assert settings_of(INSTALLATION, limited).dicom.quota_bytes == 100


@pytest.mark.parametrize(
    "own",
    [
        {"data_dir": "/"},
        {"demo": True},
        {"astm": {"port": 70_000}},
        {"astm": {"ports": [1]}},
        {"search": {"default_count": 0}},
        {"x": {}},
    ],
    ids=["folder", "demo", "no port", "no setting", "wrong value", "unknown"],
)
def test_what_is_not_a_tenants_to_say_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        of(**own)


@pytest.mark.parametrize(
    "own",
    [
        {"hl7": {"channels": [{"name": "x", "port": 2575}]}},
        {"hl7": {"channels": [{"name": "x", "port": 2600}]}},
        {"hl7": {"channels": [{"name": "x", "port": 2700}]}},
        {"astm": {"port": 2600}},
        {"astm": {"port": 2800}},
        {"dicom": {"ae_titles": ["MAIN"]}},
        {"dicom": {"ae_titles": ["SOUTH"]}},
        {"dicom": {"s3": {"bucket": "pictures"}}},
    ],
    ids=[
        "plain port",
        "channel",
        "another's channel",
        "analyzers on a channel",
        "another's analyzers",
        "AE title",
        "another's AE title",
        "bucket",
    ],
)
def test_a_port_a_title_and_a_bucket_are_one_tenants(own: dict[str, Any]) -> None:
    others = {"hl7": {"channels": [{"name": "y", "port": 2700}]}, "dicom": {"ae_titles": ["SOUTH"]}}
    others["astm"] = {"port": 2800}
    with pytest.raises(BadRequest, match="another's"):
        check_apart(INSTALLATION, {"south": of(**others)}, of(**own))


def test_two_tenants_may_have_channels_of_one_name_on_any_free_port() -> None:
    own = of(hl7={"channels": [{"name": "lab", "port": 0}]})
    check_apart(INSTALLATION, {"south": own}, own)


@pytest.mark.parametrize("name", ["", "North", "n/s", "1st", "default", "a" * 41, "a_b", "t\n"])
def test_a_name_that_cannot_stand_in_a_url_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        tenant.new(name)


def test_what_is_not_fhir_lies_beside_the_base() -> None:
    assert beside("https://host/fhir/") == "https://host"
    assert beside(of_tenant("https://host/fhir", "north")) == "https://host/t/north"
    assert beside(of_tenant("https://host/a/fhir", "north")) == "https://host/a/t/north"
