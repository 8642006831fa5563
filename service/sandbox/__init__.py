"""Sandbox: child processes that read what strangers sent, with limits, and that can be killed at any moment."""
