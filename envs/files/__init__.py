"""File operations: names, trees, archives, links, contents."""
