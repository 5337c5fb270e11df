"""`make docs-test`: every command block of the README and the docs is run."""
