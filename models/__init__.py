"""Models: the contract that training writes and the service reads."""
