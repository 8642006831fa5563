"""Tasks: what a network's outputs mean, a file a task."""
