"""The commands of `sangam` by their names: where each is, and what it is for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fhir_server.main.lazily import Known

_OWN: Final = "fhir_server.main"

COMMANDS: Final[Mapping[str, Known]] = MappingProxyType(
    {
        "serve": Known(
            f"{_OWN}.serve_command:serve",
            "Start the server, its listeners, its worker and its database.",
        ),
        "worker": Known(
            f"{_OWN}.worker_command:worker",
            "Carry out jobs beside a server that uses a real broker.",
        ),
        "migrate": Known(
            f"{_OWN}.migrate_command:migrate",
            "Bring the database's tables to this version; `serve` does so by itself.",
        ),
        "load": Known(
            f"{_OWN}.load_command:load",
            "Load Bundles, resources and NDJSON, also in .gz, .tgz and directories.",
        ),
        "send-hl7": Known(
            f"{_OWN}.send_hl7:send_hl7",
            "Send the HL7 v2 messages of files over MLLP and show each acknowledgement.",
        ),
        "send-astm": Known(
            f"{_OWN}.send_astm:send_astm",
            "Send the ASTM messages of files over the link protocol, each in a session of its own.",
        ),
        "status": Known(
            f"{_OWN}.status_command:status",
            "Show processes, ports, jobs, the HL7 inbox and the change feed.",
        ),
        "hl7": Known(
            "adapters.hl7.operators.cli:app",
            "The inbox of HL7 v2 messages: what came, what became of it, and trying again.",
            "placed",
        ),
        "dicom": Known(
            "adapters.dicom.cli:app",
            "DICOM: studies, worklist, what modalities do, peers, documents, export, simulation.",
            "placed",
        ),
        "jobs": Known(
            f"{_OWN}.backlog:app",
            "Jobs: what waits and why, parking one that never succeeds, trying it again.",
            "placed",
        ),
        "audit": Known(
            f"{_OWN}.audit:app",
            "AuditEvents: whether any was changed, and all of them as a file.",
            "placed",
        ),
        "erasures": Known(
            f"{_OWN}.erasures:app",
            "Erasure of patients: requests, legal holds, and erasing again after a restore.",
            "placed",
        ),
        "user": Known(
            f"{_OWN}.users:app", "Users: who may log in, as whom and in which roles.", "placed"
        ),
        "role": Known(
            f"{_OWN}.roles:app",
            "Roles: what each may do, and changing that for this site.",
            "placed",
        ),
        "care": Known(f"{_OWN}.care:app", "Care relationships of staff with patients.", "placed"),
        "consent": Known(f"{_OWN}.consents:app", "Consents of patients.", "placed"),
        "client": Known(
            f"{_OWN}.clients:app",
            "Clients: apps and systems that may ask for tokens.",
            "placed",
        ),
        "keys": Known(
            f"{_OWN}.keys:app",
            "Keys that sign tokens, and keys that seal what is stored: looking, rotating.",
            "placed",
        ),
        "tenant": Known(
            f"{_OWN}.tenant_cli:app",
            "Tenants: hospitals in one installation that see nothing of each other.",
            "placed",
        ),
        "package": Known(
            f"{_OWN}.packages:app",
            "Packages of profiles, code systems, value sets and search parameters.",
            "group",
        ),
        "terminology": Known(
            f"{_OWN}.terminology:app",
            "SNOMED CT, LOINC, ICD-10, RxNorm and other terminologies: load, list, remove.",
            "group",
        ),
    }
)
"""In the order of `sangam --help`, which imports none of them."""
