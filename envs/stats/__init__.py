"""Data science: estimates, tests and models of data."""
