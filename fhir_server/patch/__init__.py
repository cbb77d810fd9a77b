"""Patches: changes to a document, as values.

https://hl7.org/fhir/R4/http.html#patch
"""
