"""The Unified Code for Units of Measure.

https://ucum.org/ucum
"""
