"""Local codes that nobody has translated: asked for by Tasks, repaired when answered."""
