"""What a model is: the contract that training writes and the service reads. Imports nothing else of ours."""
