"""A small cash book."""

from tallybook.book import Book
from tallybook.entry import Entry

__all__ = ["Book", "Entry"]
