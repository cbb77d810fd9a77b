"""What lies on disk, sealed."""
