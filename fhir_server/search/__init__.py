"""Search: parameters to index values, query strings to conditions to SQL.

https://hl7.org/fhir/R4/search.html
"""
