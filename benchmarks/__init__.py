"""Measured figures: suites as data, results as JSON. `python -m benchmarks.<suite>`."""
