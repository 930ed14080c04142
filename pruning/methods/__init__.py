"""How groups are ranked: one file a method, one line of the table."""
