"""Code systems whose codes are a grammar: nobody can list them, anybody can read them.

https://hl7.org/fhir/R4/terminologies-systems.html
"""
