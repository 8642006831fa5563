"""Tests of a real service against callers who mean it no good."""
