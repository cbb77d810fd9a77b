"""The FHIR R4 server.

https://hl7.org/fhir/R4/http.html
"""
