"""HTTP in, HTTP out.

https://hl7.org/fhir/R4/http.html
"""
