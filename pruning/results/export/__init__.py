"""Sparse files: one module a format, one line of the table."""
