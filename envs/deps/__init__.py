"""Dependency management: versions, lock files, indexes, what needs what."""
