"""How a diagnostic sees what discrete layers do: in a function that it traces itself.

Inside `observe(observer)` every discrete layer called in this thread asks the observer for its seed
and its output. Functions traced outside the block, those of `fit` among them, know nothing of it.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import tensorflow as tf

Answer = Callable[[tf.Tensor, bool], tf.Tensor]


class Observer(Protocol):
    """What a diagnostic is asked."""

    def seed(self) -> tf.Tensor | None:
        """The seed of the next draw, int [2]; None for the layer's own."""

    def output(self, layer: Any, logits: tf.Tensor, training: bool, answer: Answer) -> tf.Tensor:
        """What the layer returns for prepared logits; `answer` is what it would do unobserved."""


_OBSERVER: contextvars.ContextVar[Observer | None] = contextvars.ContextVar(
    "tfgumbel_observer", default=None
)


def current() -> Observer | None:
    """The observer of this thread, if any."""
    return _OBSERVER.get()


@contextlib.contextmanager
def observe(observer: Observer) -> Iterator[None]:
    """Lets an observer see the layers that are called inside the block."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)
