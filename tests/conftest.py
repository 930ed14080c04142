"""Fixtures and settings that every test shares."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two logical devices let the tests of tf.distribute run on one CPU.
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()],
)
# Tracing makes many objects, and what was imported outlives them all: a twelfth of the time.
gc.freeze()
gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def strategy() -> tf.distribute.Strategy:
    """Two replicas on one CPU; one for all tests, as a second would reuse its collectives' keys."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def _autograph_transforms_everything(caplog: pytest.LogCaptureFixture):
    """Fails a test whose code AutoGraph could not transform: it would run as plain Python."""
    yield
    for record in caplog.get_records("call"):
        if "AutoGraph could not transform" in record.getMessage():
            pytest.fail(record.getMessage())
