"""Time of a training step with every estimator, relative to straight-through."""
