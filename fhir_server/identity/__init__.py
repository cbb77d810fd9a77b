"""Who asks: users, clients, tokens, and the SMART authorization server."""
