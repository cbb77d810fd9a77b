"""The messages of HL7 v2 as sets of FHIR R4 resources.

https://hl7.org/fhir/uv/v2mappings/STU1/message_maps.html
"""
