"""Peak extra memory of one forward and backward pass of Gumbel-Rao, in a process of its own.

    python -m benchmarks.estimators.memory '{"num_samples": 10, "shape": [20, 60, 16]}'

Linux only: the kernel's high-water mark of the process is set back before the pass, since loading
TensorFlow may have reached higher than the pass will.
"""

import json
import pathlib
import sys

from benchmarks.estimators.cases import Case, arguments, step


def extra_mebibytes(num_samples: int | None, shape: tuple[int, int, int]) -> float:
    """How far a first pass raises the memory of the process, at its peak.

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
    before = _reset_peak()
    _run(step(case, jit_compile=False), inputs)
    return _kibibytes("VmHWM") / 1024.0 - before


def _reset_peak() -> float:
    """Sets the high-water mark back to the memory in use now, and returns that, in MiB."""
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _kibibytes("VmRSS") / 1024.0


def _kibibytes(field: str) -> int:
    """A size in /proc/self/status."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"This kernel does not tell {field}.")


def _run(function, inputs):
    for output in function(*inputs):
        output.numpy()


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    print(json.dumps(extra_mebibytes(request["num_samples"], tuple(request["shape"]))))
