"""Rights compiled to conditions of searches and rules of writes."""
