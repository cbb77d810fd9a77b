"""FHIRPath: one engine for invariants, users' expressions and what search does not compile.

https://hl7.org/fhirpath/N1/
"""
