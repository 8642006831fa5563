"""Contract of a model: training writes it and the service reads it. Imports nothing else of ours."""
