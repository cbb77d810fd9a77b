"""The segments of HL7 v2 as FHIR R4 resources.

https://hl7.org/fhir/uv/v2mappings/STU1/segment_maps.html
"""
