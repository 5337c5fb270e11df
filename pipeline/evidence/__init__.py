"""What a run's figures rest on: hashes that can be checked, a model card and a reporting checklist."""
