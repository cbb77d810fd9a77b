"""HL7 v2 over MLLP, analyzers' results to FHIR R4.

https://hl7.org/fhir/uv/v2mappings/
"""
