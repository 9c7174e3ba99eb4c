"""Data querying beyond SQL: JSON, graphs, tables in text."""
