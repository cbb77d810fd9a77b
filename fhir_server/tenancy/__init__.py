"""Tenants: hospitals in one installation, each behind a schema and a role of its own."""
