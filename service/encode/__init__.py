"""Encoders of arrays into bytes to send, one file per format."""
