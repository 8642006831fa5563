"""`python -m service.manage`: what an operator does with the folder of models, a file a command."""
