"""What the operator sees of the jobs in numbers."""

from prometheus_client import Counter, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)

jobs = Counter("sangam_jobs", "Jobs carried out, by how they ended.", ("kind", "outcome"))
job_seconds = Histogram("sangam_job_seconds", "Time of a job.", ("kind",), buckets=_SECONDS)
