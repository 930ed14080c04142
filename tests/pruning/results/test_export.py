"""Exported files compute what the model does, hold only what was kept, and appear whole."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruning.results.export import export, npz_csr
from pruning.results.export.export import export_sparse
from pruning.results.export.npz_csr import read_csr


def sparsify(model: keras.Model, density: float = 0.05) -> keras.Model:
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        value = rng.normal(size=variable.shape).astype("float32") / 8
        if len(variable.shape) > 1:
            value *= rng.random(variable.shape) < density
        variable.assign(value)
    return model


def mlp() -> keras.Model:
    return sparsify(
        keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Dense(10),
            ]
        )
    )


def two_in_two_out() -> keras.Model:
    image, extra = keras.Input((8, 8, 1)), keras.Input((5,))
    hidden = keras.layers.Conv2D(8, 3, activation="relu")(image)
    hidden = keras.layers.Flatten()(hidden)
    hidden = keras.layers.Concatenate()([hidden, extra])
    outputs = [keras.layers.Dense(70)(hidden), keras.layers.Dense(3)(hidden)]
    return sparsify(keras.Model([image, extra], outputs))


@pytest.mark.parametrize(
    ("make", "format"),
    [(mlp, "saved_model"), *((two_in_two_out, format) for format in export.FORMATS)],
)
def test_file_computes_what_the_model_does_and_is_smaller(tmp_path, make, format):
    model = make()
    suffix = {"litert": ".tflite", "npz_csr": ".npz", "saved_model": ""}[format]
    path = tmp_path / f"model{suffix}"
    result = export_sparse(model, path, format, repetitions=3)
    assert result.size == export.size_of(path)
    assert result.size < result.dense_size
    assert result.max_error < 1e-5
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert (result.latency is None) == (format == "npz_csr")
    assert f"{result.size:,}" in str(result)


def test_csr_arrays_are_scipys_and_hold_no_pickle(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    model = mlp()
    export_sparse(model, tmp_path / "model.npz", "npz_csr")
    kernel = model.layers[0].kernel
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        parts = [arrays[f"{kernel.path}:{part}"] for part in ("data", "indices", "indptr")]
    rebuilt = sparse.csr_array(tuple(parts), shape=kernel.shape).toarray()
    np.testing.assert_array_equal(rebuilt, kernel.numpy())
    for variable in model.weights:
        np.testing.assert_array_equal(read_csr(tmp_path / "model.npz")[variable.path], variable)


def test_saved_model_takes_other_batch_sizes_and_needs_no_keras_objects(tmp_path):
    model = mlp()
    export_sparse(model, tmp_path / "saved", "saved_model", repetitions=1)
    x = np.random.default_rng(3).normal(size=(9, 64)).astype("float32")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.serve(x), model(x, training=False), atol=1e-5)


def test_saved_model_scatters_when_loaded_and_not_in_a_call(tmp_path):
    model = mlp()
    x = np.random.default_rng(3).normal(size=(9, 64)).astype("float32")
    for _ in range(2):  # loaded twice at once, and each file under its own name
        export_sparse(model, tmp_path / "saved", "saved_model", repetitions=1)
        loaded = [tf.saved_model.load(str(tmp_path / "saved")) for _ in range(2)]
        del loaded[0]
        signature = loaded[0].signatures["serving_default"]
        assert not [op for op in signature.graph.get_operations() if "Scatter" in op.type]
        result = signature(input_0=tf.constant(x))["output_0"]
        np.testing.assert_allclose(result, model(x, training=False), atol=1e-5)
        model.layers[0].kernel.assign(2.0 * model.layers[0].kernel)


def test_saved_model_leaves_no_kernel_behind_in_memory(tmp_path, monkeypatch):
    load, handles = tf.saved_model.load, []

    def load_and_remember(path):
        module = load(path)
        handles.extend(item.resource_handle for item in module._scattered)
        return module

    def are_in_memory():
        return [bool(tf.raw_ops.VarIsInitializedOp(resource=handle)) for handle in handles]

    monkeypatch.setattr(tf.saved_model, "load", load_and_remember)
    model = mlp()
    export_sparse(model, tmp_path / "saved", "saved_model", repetitions=1)
    assert are_in_memory() == [False]
    mine = tf.saved_model.load(str(tmp_path / "saved"))
    export_sparse(model, tmp_path / "other", "saved_model", repetitions=1)
    assert are_in_memory() == [False, True, False], mine


def test_saved_model_runs_in_a_session_as_servers_run_it(tmp_path):
    model = mlp()
    x = np.random.default_rng(3).normal(size=(9, 64)).astype("float32")
    export_sparse(model, tmp_path / "saved", "saved_model", repetitions=1)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "saved"))
        signature = meta.signature_def["serving_default"]
        inputs, outputs = signature.inputs["input_0"].name, signature.outputs["output_0"].name
        result = session.run(outputs, {inputs: x})
    np.testing.assert_allclose(result, model(x, training=False), atol=1e-5)


def test_replaces_its_own_kind_but_no_other_folder(tmp_path):
    model = mlp()
    for _ in range(2):
        export_sparse(model, tmp_path / "saved", "saved_model", repetitions=1)
    assert [item.name for item in tmp_path.iterdir()] == ["saved"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="no SavedModel"):
        export_sparse(model, tmp_path / "mine", "saved_model")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_file_that_computes_something_else_is_never_left_behind(tmp_path, monkeypatch):
    def write_wrong(model: keras.Model, path: pathlib.Path, inputs, sparse) -> None:
        wrong = sparsify(keras.models.clone_model(model), density=0.5)
        pairs = zip(wrong.weights, model.weights, strict=True)
        names = {mine.path: other.path for mine, other in pairs}
        arrays = {names[variable.path]: variable.numpy() for variable in wrong.weights}
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    monkeypatch.setitem(export.FORMATS, "npz_csr", npz_csr.NPZ_CSR._replace(write=write_wrong))
    (tmp_path / "model.npz").write_bytes(b"the one before")
    with pytest.raises(RuntimeError, match="does not compute"):
        export_sparse(mlp(), tmp_path / "model.npz", "npz_csr")
    assert [item.name for item in tmp_path.iterdir()] == ["model.npz"]
    assert (tmp_path / "model.npz").read_bytes() == b"the one before"


class Doubled(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(32)

    def call(self, inputs):
        return 2 * self.dense(inputs)


def test_subclassed_model_needs_an_example(tmp_path):
    model = Doubled()
    x = np.ones((4, 64), "float32")
    model(x)
    sparsify(model)
    with pytest.raises(ValueError, match="example"):
        export_sparse(model, tmp_path / "model.tflite")
    for format in ("saved_model", "npz_csr"):
        path = tmp_path / format
        assert export_sparse(model, path, format, example=x, repetitions=1).max_error < 1e-5


def test_wrong_arguments(tmp_path):
    with pytest.raises(ValueError, match="litert"):
        export_sparse(mlp(), tmp_path / "model", "onnx")
    with pytest.raises(ValueError, match="repetitions"):
        export_sparse(mlp(), tmp_path / "model", repetitions=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_and_outputs_that_are_no_numbers_are_refused(tmp_path, monkeypatch, bad):
    model = mlp()
    model.layers[0].bias.assign(np.full(128, bad))
    with pytest.raises(ValueError, match="NaN or infinite"):
        export_sparse(model, tmp_path / "model.npz", "npz_csr")
    # The outputs of a file, the second of two, while the weights are finite.
    fine = [np.zeros((1, 3)), np.zeros((1, 2))]
    assert export._largest_difference(fine, fine) == 0
    for outputs, expected in ((bad, 0.0), (0.0, bad), (bad, bad)):
        error = export._largest_difference(
            [fine[0], np.array([[0.0, outputs]])], [fine[0], np.array([[0.0, expected]])]
        )
        assert not error <= 1e30


@pytest.mark.parametrize("columns", [2**16, 2**16 + 3])
def test_csr_of_wide_kernels(tmp_path, columns):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(columns)])
    kernel = np.zeros((2, columns), "float32")
    kernel[[0, 0, 1, 1], [0, columns - 1, 2, columns - 2]] = 1, 2, 3, 4
    model.layers[0].kernel.assign(kernel)
    export_sparse(model, tmp_path / "model.npz", "npz_csr")
    found = read_csr(tmp_path / "model.npz")[model.layers[0].kernel.path]
    np.testing.assert_array_equal(found, kernel)


@pytest.mark.parametrize("keep", [0, 40, 300])
def test_a_damaged_file_is_named(tmp_path, keep):
    path = tmp_path / "model.npz"
    export_sparse(mlp(), path, "npz_csr")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model.npz cannot be read(.|\n)*export_sparse"):
        read_csr(path)
    with pytest.raises(FileNotFoundError):
        read_csr(tmp_path / "none.npz")
