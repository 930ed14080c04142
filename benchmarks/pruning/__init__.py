"""What pruning reaches and costs: `python -m benchmarks.pruning`."""
