"""Codes of security labels.

https://hl7.org/fhir/R4/security-labels.html
"""

from typing import Final

CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ORDER: Final = "ULMNRV"
"""Codes of v3-Confidentiality, each above those before; without one a resource is N."""
NORMAL: Final = "N"

OURS: Final = "urn:sangam:label"
RELEASED: Final = "released"
"""Tag (`OURS`) of a clinician that the patient may see what is labelled."""
NO_OVERRIDE: Final = "no-override"
"""Label (`OURS`) of what no emergency opens."""

ALIASES: Final = {
    CONFIDENTIALITY: ("http://hl7.org/fhir/v3/Confidentiality", "urn:oid:2.16.840.1.113883.5.25"),
    ACT_CODE: ("http://hl7.org/fhir/v3/ActCode", "urn:oid:2.16.840.1.113883.5.4"),
}
"""Other names of the systems, as STU3 and CDA have them."""

SENSITIVITIES: Final = (
    "ADOL",
    "B",
    "BH",
    "CEL",
    "COGN",
    "DEMO",
    "DIA",
    "DOB",
    "DRGIS",
    "DVD",
    "EMOTDIS",
    "EMP",
    "EMPL",
    "ETH",
    "ETHUD",
    "GDIS",
    "GENDER",
    "HIV",
    "IDS",
    "LIVARG",
    "LOCIS",
    "MARST",
    "MH",
    "MST",
    "OPIOIDUD",
    "PATLOC",
    "PDS",
    "PHY",
    "PREGNANT",
    "PRS",
    "PSY",
    "PSYTHPN",
    "RACE",
    "REL",
    "SCA",
    "SDV",
    "SEX",
    "SICKLE",
    "SPI",
    "SSP",
    "STD",
    "SUD",
    "TBOO",
    "VIO",
    "VIP",
)
"""v3-ActCode, below _InformationSensitivityPolicy."""
