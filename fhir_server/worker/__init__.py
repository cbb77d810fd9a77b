"""The carrying out of jobs."""
