"""Validation against profiles.

https://hl7.org/fhir/R4/profiling.html
"""
