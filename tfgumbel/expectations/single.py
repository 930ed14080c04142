"""Programs with a single draw of a single variable, for estimators that choose its classes."""

import tensorflow as tf

from tfgumbel.expectations.program import Site
from tfgumbel.internal import validation


def only_site(name: str, site: Site, copies: int) -> tf.Tensor:
    """Returns the logits of the rows, shape (rows, num_classes), one copy of them.

    Args:
        name: The estimator's, for errors.
        site: Where the program drew, all rows being there `copies` times, copy by copy.
        copies: Their number.

    Raises:
        ValueError: at a second draw, or one of several variables.
    """
    if site.position or site.logits.shape.rank != 2 or not site.variable.event_rank:
        raise ValueError(
            validation.describe(
                f"Estimator {name!r} is for one categorical variable.",
                expected="a single draw, logits of shape (batch, num_classes)",
                received=f"draw {site.position}, logits of shape {tuple(site.logits.shape)}",
                fix="'disarm' or 'reinforce_loo' draw several variables",
            )
        )
    return site.logits[: tf.shape(site.logits)[0] // copies]
