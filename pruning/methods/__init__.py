"""How groups are ranked: one file a method, one line of the table."""

from pruning.methods.learned import Learned
from pruning.methods.magnitude import Magnitude
from pruning.methods.method import Method
from pruning.methods.random import Random

# By the name that `prune` takes.
METHODS: dict[str, type[Method]] = {
    "learned": Learned,
    "magnitude": Magnitude,
    "random": Random,
}
