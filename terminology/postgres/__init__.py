"""Large code systems in PostgreSQL."""
