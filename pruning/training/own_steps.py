"""Steps that the user's model defines itself, run with masked weights in place of its own.

The model's own `train_step` computes gradients of its losses and gives them to its optimizers. Run
here, it reads `w * m` wherever it reads a pruned weight, so that these are gradients dL/d(w m). On
their way into the optimizer they become the weights', `m dL/d(w m)`, and the scores'.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from pruning.groups.targets import iterate_layers
from tfgumbel.internal import validation

# What a model may define for itself, and still be trained by `fit`.
OWN = ("train_step", "test_step", "compute_loss", "compute_metrics", "metrics", "compile")

# What a model may define for itself, and a `PrunedModel` around it has of its own.
REPLACED = ("fit", "evaluate", "predict")


def replaced_loops(model: keras.Model) -> list[str]:
    """The loops that a model's class defines itself: those of a `PrunedModel` do not call them."""
    return [
        name for name in REPLACED if getattr(type(model), name) is not getattr(keras.Model, name)
    ]


def defines_training(model: keras.Model) -> bool:
    """Whether a model's class says itself how it is trained or judged."""
    return any(getattr(type(model), name) is not getattr(keras.Model, name) for name in OWN)


@tf.custom_gradient
def _in_place_of(weight: tf.Tensor, masked: tf.Tensor):
    """The masked weight; its gradient goes to the weight as it is."""
    return masked, lambda upstream: (tf.cast(upstream, weight.dtype), None)


class MaskedReads(keras.StatelessScope):
    """A scope in which reading a variable gives its masked value, and writing is as ever.

    Args:
        pairs: variables and their masked values.
    """

    def __init__(self, pairs: Any):
        super().__init__(collect_losses=True)
        # Read here, where no layer of a lower precision makes casts of them.
        self.variables = {id(variable): variable.value for variable, _ in pairs}
        self.update(pairs)

    def update(self, pairs: Any) -> None:
        """Puts other values in place."""
        self.values = {id(variable): value for variable, value in pairs}

    def get_current_value(self, variable):
        masked = self.values.get(id(variable))
        if masked is None:
            return None
        own = self.variables[id(variable)]
        value = _in_place_of(tf.convert_to_tensor(own), masked)
        # By its handle a tape knows a variable that it is asked for the gradient of.
        value.handle = own.handle
        return value

    def add_update(self, update):
        variable, value = update
        with self.left():
            variable.assign(value)

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Suspends the scope."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()


def own_train_step(pruned: Any, data: Any) -> dict[str, tf.Tensor]:
    """Runs the model's own `train_step` once for each draw, then moves weights and scores.

    Each of its optimizer steps takes place at the last draw, with the mean over the draws.
    """
    step = _Step(pruned)
    for draw in range(pruned.num_samples):
        logs = step.run(data, draw)
    if not step.reached:
        raise ValueError(
            validation.describe(
                f"The `train_step` of {pruned.model.name!r} gave no gradient of a pruned weight to "
                "a Keras optimizer that the model holds.",
                expected="optimizer.apply(gradients, variables), or apply_gradients, on the "
                "model's own variables, with an optimizer that is an attribute of it",
                received="a step in which none came through",
                fix="keep its optimizers as attributes, or write a loop with `masked_weights` and "
                "`update`",
            )
        )
    return {**logs, **pruned.update_masks(step.to_scores)}


def own_step(pruned: Any, name: str, data: Any) -> Any:
    """Runs the model's own `test_step` or `predict_step` with the mask of the moment."""
    with MaskedReads(pruned.masked_weights()):
        return getattr(pruned.model, name)(data)


class _Step:
    """The gradients of one training step on their way to the optimizers."""

    def __init__(self, pruned: Any):
        self.pruned = pruned
        self.graph = tf.compat.v1.get_default_graph() if not tf.executing_eagerly() else None
        self.held: list[list[Any]] = []  # by call of an optimizer: the sum of gradients so far
        self.to_scores: Any = None
        self.reached = False

    def run(self, data: Any, draw: int) -> Any:
        scope = MaskedReads(self.pruned.masked_weights(training=True, draw=draw))
        self.calls = 0
        with self._intercepted(scope, draw), scope:
            return self.pruned.model.train_step(data)

    @contextlib.contextmanager
    def _intercepted(self, scope: MaskedReads, draw: int) -> Iterator[None]:
        """Has the optimizers of the model give their gradients to `_apply`."""
        optimizers = _optimizers(self.pruned.model)
        for optimizer in optimizers:
            self._intercept(optimizer, scope, draw)
        try:
            yield
        finally:
            for optimizer in optimizers:
                del optimizer.apply

    def _intercept(self, optimizer: Any, scope: MaskedReads, draw: int) -> None:
        original = optimizer.apply

        def apply(grads, trainable_variables=None):
            with scope.left():
                known = optimizer._trainable_variables if trainable_variables is None else None
                variables = list(trainable_variables or known or ())
                self._apply(optimizer, original, list(grads), variables, scope, draw)

        optimizer.apply = apply

    def _apply(self, optimizer, original, gradients, variables, scope, draw):
        pruned = self.pruned
        if not tf.executing_eagerly() and tf.compat.v1.get_default_graph() is not self.graph:
            raise ValueError(
                validation.describe(
                    f"The `train_step` of {pruned.model.name!r} calls its optimizer inside a graph "
                    "of its own (a tf.function, tf.cond or loop).",
                    expected="an optimizer that is called in `train_step` itself",
                    received=f"{optimizer.name!r}, called from another graph",
                    fix="take the decorator or the condition away; Keras compiles the step anyway",
                )
            )
        places = {id(variable): i for i, variable in enumerate(pruned.masked_variables)}
        masked_gradients: list[Any] = [None] * len(places)
        for gradient, variable in zip(gradients, variables, strict=True):
            if id(variable) in places and gradient is not None:
                masked_gradients[places[id(variable)]] = tf.convert_to_tensor(gradient)
        self.reached |= any(g is not None for g in masked_gradients)
        to_weights, to_scores = _pull_back(pruned, masked_gradients, draw)
        gradients = [
            to_weights[places[id(variable)]] if id(variable) in places else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        share = 1.0 / pruned.num_samples
        to_scores = None if to_scores is None else share * to_scores
        if to_scores is not None:
            to_scores /= optimizer.scale_loss(tf.ones([]))
            self.to_scores = to_scores if self.to_scores is None else self.to_scores + to_scores
        gradients = [None if g is None else share * tf.convert_to_tensor(g) for g in gradients]
        if self.calls < len(self.held):
            gradients = [
                new if old is None else old if new is None else old + new
                for old, new in zip(self.held[self.calls], gradients, strict=True)
            ]
            self.held[self.calls] = gradients
        else:
            self.held.append(gradients)
        self.calls += 1
        if draw < pruned.num_samples - 1:
            return
        if not optimizer.built:
            with tf.init_scope():
                optimizer.build(variables)
        original(gradients, variables)
        # What the step computes from here on sees the weights as they are now.
        scope.update(pruned.masked_weights(training=True, draw=draw))


def _optimizers(model: keras.Model) -> list[Any]:
    """The optimizers that a model and its layers hold, each once."""
    found: dict[int, Any] = {}
    queue: list[Any] = [value for layer in iterate_layers(model) for value in vars(layer).values()]
    while queue:
        item = queue.pop()
        if isinstance(item, keras.optimizers.Optimizer):
            found[id(item)] = item
        elif isinstance(item, dict):
            queue.extend(item.values())
        elif isinstance(item, (list, tuple)):
            queue.extend(item)
    return list(found.values())


def _pull_back(pruned: Any, masked_gradients: list[Any], draw: int) -> tuple[list[Any], Any]:
    """From gradients of masked weights to those of weights and scores."""
    if all(g is None for g in masked_gradients):
        return masked_gradients, None
    weights = pruned.masked_variables
    with tf.GradientTape() as tape:
        masked = [value for _, value in pruned.masked_weights(training=True, draw=draw)]
    upstream = [
        tf.zeros_like(value) if g is None else tf.cast(g, value.dtype)
        for g, value in zip(masked_gradients, masked, strict=True)
    ]
    *to_weights, to_scores = tape.gradient(masked, [*weights, pruned.scores], upstream)
    kept = zip(to_weights, masked_gradients, strict=True)
    return [None if g is None else to_weight for to_weight, g in kept], to_scores
