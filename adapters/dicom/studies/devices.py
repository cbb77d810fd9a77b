"""The devices that made the series of a study.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.7.5.1
https://hl7.org/fhir/R4/device.html
"""

from typing import Any, Final

from adapters.dicom.dataset.attributes import Attributes, items, text, texts

SYSTEM: Final = "urn:sangam:dicom-device"
"""Of the identifiers of Devices that studies make: what tells one from another."""


def key(series: Attributes) -> str:
    """Return what tells the device from others, "" when the series says too little.

    Manufacturer, model and serial number, else the station name with manufacturer and model.
    """
    maker, model = text(series, "Manufacturer"), text(series, "ManufacturerModelName")
    own = text(series, "DeviceSerialNumber") or text(series, "StationName")
    return "/".join("".join(part.split()) for part in (maker, model, own)) if own else ""


def device(series: Attributes) -> dict[str, Any] | None:
    """Return the Device of a series, None when it cannot be told from others."""
    told = key(series)
    if not told:
        return None
    serial, station = text(series, "DeviceSerialNumber"), text(series, "StationName")
    made: dict[str, Any] = {
        "resourceType": "Device",
        "identifier": [{"system": SYSTEM, "value": told}],
        "status": "active",
        "udiCarrier": [
            {"carrierHRF": udi}
            for item in items(series, "UDISequence")
            if (udi := text(item, "UniqueDeviceIdentifier"))
        ],
        "manufacturer": text(series, "Manufacturer"),
        "serialNumber": serial,
        "deviceName": [
            {"name": name, "type": kind}
            for name, kind in (
                (text(series, "ManufacturerModelName"), "model-name"),
                (station, "user-friendly-name"),
            )
            if name
        ],
        "modelNumber": text(series, "ManufacturerModelName"),
        "version": [{"value": version} for version in texts(series, "SoftwareVersions")],
    }
    if uid := text(series, "DeviceUID"):
        made["identifier"].append({"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"})
    return {name: value for name, value in made.items() if value not in ("", [])}
