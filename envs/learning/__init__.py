"""Model training with nothing but the standard library."""
