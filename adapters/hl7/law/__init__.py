"""The IHE Laboratory Analytical Workflow: work for analyzers, and what became of it."""
