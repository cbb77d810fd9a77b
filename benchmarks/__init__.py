"""Measurements of Sangam and of other servers under the same load."""
