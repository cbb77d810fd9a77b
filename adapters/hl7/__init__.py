"""HL7 v2 and analyzers' protocols in, FHIR R4 out; and back.

https://hl7.org/fhir/uv/v2mappings/
"""
