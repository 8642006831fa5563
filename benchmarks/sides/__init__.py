"""Competing servers, each written as in its framework's documentation."""
