"""Packages of conformance resources, as implementation guides come in them.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""
