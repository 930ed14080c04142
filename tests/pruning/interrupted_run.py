"""A pruning run that can be killed in the middle of an epoch, for test_saving.py.

Usage: python interrupted_run.py BACKUP_DIRECTORY STEP
"""

import os
import signal
import sys

import keras
import numpy as np

import tfgumbel

EPOCHS, BATCH = 6, 16


class KillAt(keras.callbacks.Callback):
    """Kills the process, as `kill -9` does, once so many steps are done."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def run(callbacks):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    y = (x[:, 0] > x[:, 1]).astype("int32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(12, "relu"), keras.layers.Dense(2)]
    )
    pruned = tfgumbel.prune(model, 0.25, seed=4)
    pruned.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = pruned.fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks
    )
    return pruned, history


if __name__ == "__main__":
    backup = keras.callbacks.BackupAndRestore(sys.argv[1], delete_checkpoint=False)
    run([backup, KillAt(int(sys.argv[2]))])
