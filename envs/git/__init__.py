"""Software engineering with git."""
