"""What the people who run the image archive see and do."""
