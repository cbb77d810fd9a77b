"""Studies in a browser: a list to search, and a viewer."""
