"""The model repository: finds, verifies, loads, rolls out and unloads packages."""
