"""The phantom's version."""

PHANTOM_VERSION = "1.0"
"""Changes whenever the same seed would give other images."""
