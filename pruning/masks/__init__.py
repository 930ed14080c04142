"""Masks: the scores of groups, what is drawn from them, and the weights they multiply."""
