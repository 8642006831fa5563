"""Encoders: arrays to PNG, NumPy and colours, a file a family."""
