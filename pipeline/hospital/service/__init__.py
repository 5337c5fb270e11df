"""The service: two network fronts, and what makes them durable. Nothing here imports torch but the worker process."""
