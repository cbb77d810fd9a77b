"""Instances kept before they are acknowledged, and their index."""
