"""The Open Inference Protocol v2 over HTTP, with Triton's extensions for binary tensors, classes and statistics.

bodies.py: compressed and split. request.py: what is asked. tensors.py: an input's data. answer.py: the outputs.
"""
