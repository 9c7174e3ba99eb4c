"""Data processing: from what programs wrote to an exact form."""
