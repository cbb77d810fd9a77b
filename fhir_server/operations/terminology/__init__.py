"""The terminology operations, over the library `terminology`.

https://hl7.org/fhir/R4/terminology-service.html
"""
