"""Data querying in SQL."""
