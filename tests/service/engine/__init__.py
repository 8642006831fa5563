"""Tests of service.engine."""
