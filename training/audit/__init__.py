"""Audit of the data before training, for faults that make test figures worthless."""
