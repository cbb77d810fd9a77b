"""Imagined senders, for demonstrations, tests and load."""
