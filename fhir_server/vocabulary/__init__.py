"""Code systems, value sets and concept maps by url: stored, loaded and built in.

https://hl7.org/fhir/R4/terminology-module.html
"""
