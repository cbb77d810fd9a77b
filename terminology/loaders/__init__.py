"""Readers of the files in which code systems are published."""
