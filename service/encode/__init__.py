"""Arrays -> bytes to send, a file a family."""
