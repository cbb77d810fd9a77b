"""Tests of search; a package so that they share `matching`."""
