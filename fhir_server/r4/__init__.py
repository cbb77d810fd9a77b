"""Knowledge of FHIR R4, without I/O.

https://hl7.org/fhir/R4/
"""
