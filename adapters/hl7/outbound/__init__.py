"""Messages to other systems: made of what changed, kept until they were acknowledged."""
