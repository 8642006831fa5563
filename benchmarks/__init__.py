"""Side-by-side measurements, each of which prints ratios: python -m benchmarks --help."""
