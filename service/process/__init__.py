"""This process: what it may use, and the signals that end it."""
