"""Records of ASTM E1394 (CLSI LIS02-A2): read, understood as a result message, and written."""
