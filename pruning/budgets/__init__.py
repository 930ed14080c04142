"""How much is kept: budgets over flat vectors of scores, with no Keras model in sight."""
