"""What is measured against the service: each file is what its framework's documentation would have one write."""
