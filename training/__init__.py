"""Offline: from a folder of images to a model package. PyTorch lives here and in models.architectures."""
