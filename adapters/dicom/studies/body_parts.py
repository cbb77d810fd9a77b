"""Body parts by their defined term, as SNOMED CT.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#chapter_L
https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_CID_4031
"""

import re
from typing import Any

from adapters.dicom.dataset.codes import SCT

_SEPARATORS = re.compile(r"[ _-]+")

_TERMS = {
    "ABDOMEN": "818981001",
    "ABDOMENPELVIS": "818982008",
    "ACJOINT": "85856004",
    "ANKLE": "70258002",
    "AORTA": "15825003",
    "ARM": "40983000",
    "BACK": "77568009",
    "BLADDER": "89837001",
    "BRAIN": "12738006",
    "BREAST": "76752008",
    "BRONCHUS": "955009",
    "CALCANEUS": "80144004",
    "CAROTID": "69105007",
    "CERVIX": "71252005",
    "CHEST": "816094009",
    "CHESTABDOMEN": "416550000",
    "CHESTABDPELVIS": "416775004",
    "CLAVICLE": "51299004",
    "COCCYX": "64688005",
    "COLON": "71854001",
    "CSPINE": "122494005",
    "CTSPINE": "1217257000",
    "DUODENUM": "38848004",
    "EAR": "117590005",
    "ELBOW": "16953009",
    "ESOPHAGUS": "32849002",
    "EXTREMITY": "66019005",
    "EYE": "81745001",
    "FACE": "89545001",
    "FEMUR": "71341001",
    "FIBULA": "87342007",
    "FINGER": "7569003",
    "FOOT": "56459004",
    "FOREARM": "14975008",
    "GALLBLADDER": "28231008",
    "HAND": "85562004",
    "HEAD": "69536005",
    "HEADNECK": "774007",
    "HEART": "80891009",
    "HIP": "24136001",
    "HUMERUS": "85050009",
    "IAC": "361078006",
    "JAW": "661005",
    "KIDNEY": "64033007",
    "KNEE": "72696002",
    "LARYNX": "4596009",
    "LEG": "30021000",
    "LIVER": "10200004",
    "LOWERLIMB": "61685007",
    "LSPINE": "122496007",
    "LSSPINE": "1217253001",
    "LUNG": "39607008",
    "MANDIBLE": "91609006",
    "MAXILLA": "70925003",
    "MEDIASTINUM": "72410000",
    "NECK": "45048000",
    "NECKCHEST": "417437006",
    "NECKCHESTABDOMEN": "416152001",
    "NECKCHESTABDPELV": "416319003",
    "NOSE": "45206002",
    "ORBIT": "363654007",
    "PANCREAS": "15776009",
    "PAROTID": "45289007",
    "PATELLA": "64234005",
    "PELVIS": "816092008",
    "PHANTOM": "706342009",
    "PHARYNX": "54066008",
    "PROSTATE": "41216001",
    "RECTUM": "34402009",
    "RIB": "113197003",
    "SCAPULA": "79601000",
    "SELLA": "42575006",
    "SHOULDER": "16982005",
    "SIJOINT": "39723000",
    "SINUS": "2095001",
    "SKULL": "89546000",
    "SPINE": "421060004",
    "SPLEEN": "78961009",
    "SSPINE": "54735007",
    "STERNUM": "56873002",
    "STOMACH": "69695003",
    "TESTIS": "40689003",
    "THIGH": "68367000",
    "THUMB": "76505004",
    "THYROID": "69748006",
    "TIBIA": "12611008",
    "TLSPINE": "1217256009",
    "TMJ": "53620006",
    "TOE": "29707007",
    "TRACHEA": "44567001",
    "TSPINE": "122495006",
    "UPPERLIMB": "53120007",
    "URETER": "87953007",
    "UTERUS": "35039007",
    "WHOLEBODY": "38266002",
    "WRIST": "74670003",
    "ZYGOMA": "13881006",
}
# Spellings that are no defined terms, and common.
_ALIASES = {
    "ABD": "ABDOMEN",
    "CERVICALSPINE": "CSPINE",
    "LUMBARSPINE": "LSPINE",
    "LUMBOSACRALSPINE": "LSSPINE",
    "SACRUM": "SSPINE",
    "THORACICSPINE": "TSPINE",
    "THORAX": "CHEST",
}


def body_site(term: str) -> dict[str, Any]:
    """Return the Coding of a Body Part Examined; display only when it is not known."""
    plain = _SEPARATORS.sub("", term.upper())
    code = _TERMS.get(_ALIASES.get(plain, plain))
    return {"system": SCT, "code": code, "display": term} if code else {"display": term}
