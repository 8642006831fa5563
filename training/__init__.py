"""Offline: from a folder of images to a model package. PyTorch lives here and in models.architectures."""

import os

# ONNX Runtime 1.29 and later reports file and graph names to its maker unless told not to, before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
