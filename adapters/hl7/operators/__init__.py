"""What the people who run the interfaces see and do."""
