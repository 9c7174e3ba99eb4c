"""System administration: configuration files."""
