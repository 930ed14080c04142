"""What goes on while a model is pruned: schedules, learning rates, callbacks."""
