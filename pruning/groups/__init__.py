"""Which weights are pruned, and which of them live or die together."""
