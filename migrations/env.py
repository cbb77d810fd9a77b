"""Alembic's environment: which tables are declared, and the connection it works on.

The connection comes from fhir_server/main/migrate.py, inside one transaction and
under its lock.
"""

from alembic import context

from fhir_server.main.migrate import COMPARE, declared, render_item

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=declared(),
    render_item=render_item,
    **COMPARE,
)
with context.begin_transaction():
    context.run_migrations()
