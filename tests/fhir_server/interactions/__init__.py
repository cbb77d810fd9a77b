"""Interactions over HTTP."""
