"""Queries that are answered on the connection they come by."""
