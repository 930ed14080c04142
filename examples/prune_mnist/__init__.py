"""Prune image classifiers to an exact budget, and see what learning the mask buys."""
