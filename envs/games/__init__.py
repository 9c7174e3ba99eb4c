"""Games: play, or compute how to win."""
