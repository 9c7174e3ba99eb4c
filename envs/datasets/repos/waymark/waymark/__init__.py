"""Walks in the hills."""

from waymark.map import Map
from waymark.plan import plan

__all__ = ["Map", "plan"]
