"""Offline training: from a folder of images to a model package, in PyTorch."""

import os

# ONNX Runtime 1.29 and later sends file and graph names to its vendor unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
