"""Debugging: find what is wrong in a program, and mend it."""
