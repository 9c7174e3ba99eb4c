"""Software engineering: programs that have to be written, extended or moved."""
