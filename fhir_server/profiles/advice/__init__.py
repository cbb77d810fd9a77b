"""Advice: what R4 means for a resource and states in no formal rule.

https://hl7.org/fhir/R4/validation.html
"""
