"""Lowers estimators to StableHLO, to be compiled and timed where there is XLA and no TensorFlow.

    python -m benchmarks.estimators.lower --output_dir=DIR

writes NAME.mlirbc (serialized StableHLO) and NAME.npz (its arguments, in order) for the forward and
backward pass of each case.
"""

import pathlib

import numpy as np
from absl import app, flags

from benchmarks.estimators.cases import Case, arguments, step

CASES = (
    Case("straight_through_gumbel_softmax", "straight_through_gumbel_softmax"),
    Case("gumbel_rao_100", "gumbel_rao", 100),
    Case("gumbel_rao_1000", "gumbel_rao", 1000),
    Case("gumbel_rao_exact", "gumbel_rao"),
)
SHAPES = ((200, 60, 16), (4096, 60, 16))


def lower(case: Case, shape: tuple[int, int, int], directory: pathlib.Path) -> pathlib.Path:
    """Writes one case's module and arguments; returns the module's path."""
    import tensorflow as tf

    inputs = [tf.constant(x) for x in arguments(shape)]
    function = step(case, jit_compile=True)
    module = function.experimental_get_compiler_ir(*inputs)(stage="stablehlo_serialized")
    path = directory / f"{case.label}_{'x'.join(map(str, shape))}.mlirbc"
    path.write_bytes(module)
    np.savez(path.with_suffix(".npz"), *[x.numpy() for x in inputs])
    return path


def main(argv):
    """Lowers every case at every shape."""
    if len(argv) > 1:
        raise app.UsageError(f"Flags only; received {argv[1:]}.")
    directory = pathlib.Path(flags.FLAGS.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    for shape in SHAPES:
        for case in CASES:
            print(lower(case, shape, directory), flush=True)


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Where the modules are written.", required=True)
    app.run(main)
