"""What the estimators cost, forward and backward, and how exact the exact one is."""
