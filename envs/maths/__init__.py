"""Mathematics: exact answers, found by program or by hand."""
