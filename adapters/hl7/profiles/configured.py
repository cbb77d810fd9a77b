"""What is agreed with a sender of whom no profile speaks: the settings of this server."""

from datetime import UTC
from zoneinfo import ZoneInfo

from adapters.hl7.mapping.context import Profile
from adapters.hl7.mapping.sender_rules import Critical
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.profiles.attribution import sender_of
from fhir_server.config import Settings
from fhir_server.hl7_settings import Hl7Settings


def profile_of(message: Message, configured: Settings, base: str) -> Profile:
    """Return what the settings say of the sender of a message."""
    settings = configured.hl7
    zone = settings.timezone
    return Profile(
        base=base,
        sender=sender_of(message),
        zone=UTC if zone == "UTC" else ZoneInfo(zone),
        authorities=settings.authorities,
        orders_from_results=settings.orders_from_results,
        encounter_without_number=settings.encounter_without_number,
        placer_scope=settings.placer_scope,
        obx_after_spm=settings.obx_after_spm,
        cancel_request_revokes=settings.cancel_request_revokes,
        visit_from_account=settings.visit_from_account,
        anonymous_patients=settings.anonymous_patients,
        nk1_contact=settings.nk1_contact,
        allergy_severity=settings.allergy_severity,
        ssn_type=settings.ssn_type,
        race_extension=settings.race_extension,
        ethnicity_extension=settings.ethnicity_extension,
        subid_grouping=settings.subid_grouping,
        qc_policy=settings.qc_policy,
        snapshot_results=settings.snapshot_results,
        ed_join=settings.ed_join,
        join_text_obx=settings.join_text_obx,
        infer_type=settings.infer_type,
        decimal_comma=settings.decimal_comma,
        critical=critical_of(settings),
    )


def critical_of(settings: Hl7Settings) -> Critical:
    """Return what is critical where a profile says nothing."""
    return Critical(
        codes=frozenset(settings.critical_codes),
        above_percent=settings.critical_above_percent or None,
        below_percent=settings.critical_below_percent or None,
        recipient=settings.critical_recipient,
    )
