"""Benchmarks: side-by-side measurements that print ratios. See python -m benchmarks --help."""
