"""A modality that is played: synthetic objects, and what it says to an archive."""
