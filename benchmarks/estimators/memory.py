"""Peak extra memory of one forward and backward pass of Gumbel-Rao, in a process of its own."""

import json
import resource
import sys

from benchmarks.estimators.cases import Case, arguments, step


def extra_mebibytes(num_samples: int | None, shape: tuple[int, int, int]) -> float:
    """How far a first pass raises the process's peak, above that of another estimator's pass.

    Args:
        num_samples: K, or None for the exact rule.
        shape: (batch, variables, classes).
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    inputs = [tf.constant(x) for x in arguments(shape)]
    small = [tf.constant(x) for x in arguments((2, 3, shape[2]))]
    case = Case("", "gumbel_rao", num_samples)
    _run(step(Case("", "straight_through_gumbel_softmax"), jit_compile=False), inputs)
    _run(step(case, jit_compile=False), small)  # loads what tracing and the kernels need
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _run(step(case, jit_compile=False), inputs)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0


def _run(function, inputs):
    for output in function(*inputs):
        output.numpy()


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    print(json.dumps(extra_mebibytes(request["num_samples"], tuple(request["shape"]))))
