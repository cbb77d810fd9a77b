"""FHIR operations, one module for each `$operation`.

https://hl7.org/fhir/R4/operations.html
"""
