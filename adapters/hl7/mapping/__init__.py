"""Messages of HL7 v2 as resources of FHIR R4.

https://hl7.org/fhir/uv/v2mappings/STU1/
"""
