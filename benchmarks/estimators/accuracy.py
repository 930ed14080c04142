"""Error of the exact rule, in float32, against the float64 reference of the tests."""

import json
import sys
from typing import Any

import numpy as np

from tests import reference

TEMPERATURES = (0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 1e-3, 10.0, 1e3)
REPETITIONS = {2: 8, 4: 4, 8: 2, 16: 1, 64: 1}


def measure(
    *, temperatures: Any = TEMPERATURES, sizes: Any = tuple(REPETITIONS), seed: int = 0
) -> list[dict[str, Any]]:
    """Median and worst of max|error| / max|g| over logits N(0, 3^2) and every drawn class."""
    import tensorflow as tf

    from tfgumbel.numerics import quadrature

    @tf.function(reduce_retracing=True)
    def product(logits, sample, upstream, temperature):
        return quadrature.categorical_gumbel_rao_vjp(logits, sample, upstream, temperature)[0]

    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        for temperature in temperatures:
            errors: list[float] = []
            for _ in range(REPETITIONS.get(size, 1)):
                logits, upstream = rng.normal(0, 3, size), rng.normal(size=size)
                if temperature == 0.0:
                    jacobian = reference.cold_limit_jacobian(logits)
                else:
                    jacobian, _ = reference.conditional_derivatives(logits, temperature)
                expected = jacobian @ upstream
                got = product(
                    tf.constant(np.tile(logits, (size, 1)), tf.float32),
                    tf.eye(size),
                    tf.constant(np.tile(upstream, (size, 1)), tf.float32),
                    tf.constant(temperature, tf.float32),
                ).numpy()
                errors.extend(np.abs(got - expected).max(1) / np.abs(expected).max(1))
            rows.append(
                {
                    "num_classes": size,
                    "temperature": temperature,
                    "median": float(np.median(errors)),
                    "worst": float(np.max(errors)),
                    "cases": len(errors),
                }
            )
    return rows


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
