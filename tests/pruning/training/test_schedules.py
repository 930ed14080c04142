"""Temperature and budget as functions of progress."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pruning.training.schedules import PruningSchedule


def test_defaults_follow_their_formulas():
    schedule = PruningSchedule()
    progress = np.linspace(0.0, 1.0, 201)
    temperature = np.where(progress < 0.8, 1.0 + (0.03 - 1.0) * progress / 0.8, 0.03)
    np.testing.assert_allclose(schedule.temperature(progress), temperature, rtol=1e-5)
    x = np.clip((progress - 0.05) / (0.35 - 0.05), 0.0, 1.0)
    np.testing.assert_allclose(schedule.tightness(progress), 1.0 - (1.0 - x) ** 3, atol=1e-6)


@pytest.mark.parametrize("times", [(0.0, 1.0, 1.0), (0.3, 0.30001, 0.7), (0.1, 0.7, 0.7)])
def test_ends_are_exact_and_nothing_rises(times):
    schedule = PruningSchedule(2.0, 0.1, *times)
    progress = tf.linspace(0.0, 1.0, 1001)
    tightness = schedule.tightness(progress).numpy()
    assert tightness[0] == 0.0 and tightness[-1] == 1.0
    assert np.all(np.diff(tightness) >= 0.0)
    assert float(schedule.tightness(times[1])) == 1.0
    temperature = schedule.temperature(progress).numpy()
    assert temperature[0] == 2.0 and temperature[-1] == np.float32(0.1)
    assert np.all(np.diff(temperature) <= 0.0)


def test_progress_may_be_traced():
    schedule = PruningSchedule()
    both = tf.function(lambda p: (schedule.temperature(p), schedule.tightness(p)), jit_compile=True)
    for progress in (0.0, 0.3, 0.6, 0.9):
        temperature, tightness = both(tf.constant(progress))
        assert float(temperature) == pytest.approx(float(schedule.temperature(progress)), rel=1e-6)
        assert float(tightness) == pytest.approx(float(schedule.tightness(progress)), abs=1e-6)
    assert both.experimental_get_tracing_count() == 1


def test_serialises():
    schedule = PruningSchedule(2.0, 0.1, start=0.0, end=0.25, settle=0.75, noise_scale=0.3)
    config = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(config)
    assert isinstance(restored, PruningSchedule)
    assert vars(restored) == vars(schedule)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"start": 0.5, "end": 0.5}, "out of order"),
        ({"end": 0.9, "settle": 0.8}, "out of order"),
        ({"settle": 1.5}, "out of order"),
        ({"start": float("nan")}, "out of order"),
        ({"initial_temperature": 0.0}, "`initial_temperature` is invalid"),
        ({"final_temperature": -1.0}, "`final_temperature` is invalid"),
        ({"noise_scale": 0.0}, "`noise_scale` is invalid"),
    ],
)
def test_errors_say_what_is_wrong(arguments, match):
    with pytest.raises(ValueError, match=match):
        PruningSchedule(**arguments)
