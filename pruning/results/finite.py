"""Models whose training has diverged are not passed on as results."""

from typing import Any

import numpy as np

from tfgumbel.internal import validation


def check_finite(model: Any) -> None:
    """Raises unless all weights of a model are finite numbers.

    Raises:
        ValueError: some are NaN or infinite; it names the weights and how many of their entries.
    """
    bad = {}
    for variable in model.weights:
        value = np.asarray(variable.numpy())
        if value.dtype.kind == "f" or value.dtype.name == "bfloat16":
            count = int(np.count_nonzero(~np.isfinite(value.astype(np.float32))))
            if count:
                bad[variable.path] = f"{count:,} of {value.size:,}"
    if bad:
        raise ValueError(
            validation.describe(
                f"The model {model.name!r} has weights that are NaN or infinite.",
                expected="finite weights",
                received=bad,
                fix="the training diverged, or its data hold NaN: check the data, lower the "
                "learning rate or clip gradients (`clipnorm`), and train again",
            )
        )
