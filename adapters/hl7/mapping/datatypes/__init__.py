"""The data types of HL7 v2 as FHIR R4 data types.

https://hl7.org/fhir/uv/v2mappings/STU1/datatype_maps.html
"""
