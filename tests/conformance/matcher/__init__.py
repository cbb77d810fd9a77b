"""A slow search: what the specification's rules find among resources held in memory.

Written from section 4 of the specification and from the R4 package, by no code
of the server: each rule is its sentence, evaluated for each resource.
"""
