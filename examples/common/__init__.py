"""What the examples share: how they start, what they print, the files that a run leaves."""
