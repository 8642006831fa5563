"""Process limits: what this process may use, and the signals that end it."""
