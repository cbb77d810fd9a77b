"""Laboratory analyzers that speak ASTM: frames, sessions, queries and orders.

CLSI LIS01-A2 (ASTM E1381) carries the records of CLSI LIS02-A2 (ASTM E1394).
"""
