"""The national health exchange NDHM, now ABDM."""
