"""The service: packages in, answers over HTTP out. No torch, and nothing of training."""

__version__ = "0.1.0"
