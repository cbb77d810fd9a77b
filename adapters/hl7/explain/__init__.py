"""Where each leaf of a message goes, by which rule, and why others go nowhere."""
