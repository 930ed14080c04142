"""Models that say themselves how they are trained: they go on doing so, with masked weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel

layers = keras.layers
X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")


@keras.saving.register_keras_serializable(package="test_own_steps")
class VAE(keras.Model):
    """A variational auto-encoder with its own steps and metrics, which never calls itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = keras.Sequential([layers.Dense(9, "relu"), layers.Dense(4)])
        self.decoder = keras.Sequential([layers.Dense(9, "relu"), layers.Dense(6)])
        self.seeds = keras.random.SeedGenerator(0)
        self.total = keras.metrics.Mean(name="elbo")
        self.divergence = keras.metrics.Mean(name="kl")

    @property
    def metrics(self):
        return [self.total, self.divergence]

    def call(self, x):
        return self.decoder(self.encoder(x)[:, :2])

    def losses_of(self, x):
        mean, log_variance = tf.split(self.encoder(x), 2, axis=-1)
        noise = keras.random.normal(tf.shape(mean), seed=self.seeds)
        decoded = self.decoder(mean + tf.exp(0.5 * log_variance) * noise)
        kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(log_variance) - log_variance - 1, -1)
        return tf.reduce_sum((decoded - x) ** 2, -1), kl

    def judged(self, x):
        error, kl = self.losses_of(x)
        self.total.update_state(error + kl)
        self.divergence.update_state(kl)
        return tf.reduce_mean(error + kl)

    def train_step(self, x):
        with tf.GradientTape() as tape:
            loss = self.judged(x)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, x):
        self.judged(x)
        return {metric.name: metric.result() for metric in self.metrics}


def pruned_vae(**arguments):
    keras.utils.set_random_seed(0)
    vae = VAE()
    vae(X[:1])
    return tfgumbel.prune(vae, 0.4, seed=0, **arguments)


@pytest.mark.parametrize("arguments", [{}, {"num_samples": 2}], ids=str)
def test_a_vae_with_its_own_steps(arguments):
    pruned = pruned_vae(**arguments)
    pruned.compile("adam")
    history = pruned.fit(X, epochs=6, batch_size=8, validation_data=(X,), verbose=0).history
    assert {"elbo", "kl", "val_elbo", "val_kl", "density", "decided"} <= set(history)
    assert history["elbo"][-1] < history["elbo"][0] and np.all(np.isfinite(history["kl"]))
    assert int(pruned.step) == 30 == int(pruned.model.optimizer.iterations)
    assert float(pruned.optimizer.learning_rate) == pytest.approx(3e-5, rel=1e-3)
    expected = pruned(X)
    sparse = pruned.finalize()
    kernels = [w for w in sparse.get_weights() if w.ndim == 2]
    assert sparse is pruned.model and sum(map(np.count_nonzero, kernels)) == pruned.budget.k
    np.testing.assert_allclose(sparse(X), expected, rtol=1e-5, atol=1e-6)
    sparse.fit(X, epochs=1, verbose=0)
    kernels = [w for w in sparse.get_weights() if w.ndim == 2]
    assert sum(map(np.count_nonzero, kernels)) == pruned.budget.k


def test_a_file_of_a_model_with_its_own_steps(tmp_path):
    pruned = pruned_vae(total_steps=10)
    pruned.compile("adam")
    pruned.fit(X, epochs=1, batch_size=8, verbose=0)
    pruned.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    np.testing.assert_array_equal(loaded.scores, pruned.scores)
    np.testing.assert_allclose(loaded(X), pruned(X), rtol=1e-6)
    loaded.fit(X, epochs=1, batch_size=8, verbose=0)
    assert int(loaded.settled) == 1 and int(loaded.optimizer.iterations) == 10
    assert float(loaded.optimizer.learning_rate) == pytest.approx(3e-5, rel=1e-3)


class Plain(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = layers.Dense(7, "relu"), layers.Dense(2)

    def call(self, x):
        return self.out(self.hidden(x))


class Stepping(Plain):
    """Keras's own step, written out."""

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


class Judging(Plain):
    """The mean squared error, by a loss of its own."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean((y_pred - y) ** 2)


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("kind", [Stepping, Judging])
def test_an_own_step_moves_weights_and_scores_as_ours_does(kind, num_samples):
    results = []
    for make in (Plain, kind):
        keras.utils.set_random_seed(1)
        model = make()
        model(X[:1])
        pruned = tfgumbel.prune(model, 0.5, seed=2, total_steps=20, num_samples=num_samples)
        pruned.compile(
            keras.optimizers.SGD(0.1), None if kind is make is Judging else "mse", run_eagerly=True
        )
        pruned.scores.assign(tf.fill(pruned.scores.shape, 0.6))
        for start in (0, 8):
            pruned.train_on_batch(X[start : start + 8], X[start : start + 8, :2])
        results.append((pruned.scores.numpy(), model.get_weights()))
    (scores, weights), (own_scores, own_weights) = results
    np.testing.assert_allclose(own_scores, scores, atol=1e-6)
    assert np.ptp(scores) > 1e-3
    for ours, own in zip(weights, own_weights, strict=True):
        np.testing.assert_allclose(own, ours, rtol=1e-5, atol=1e-7)


class Adversarial(keras.Model):
    """Two optimizers, each for its own half, and a compile of its own."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(6)])
        self.critic = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])

    def call(self, z):
        return self.critic(self.generator(z))

    def compile(self, critic_optimizer, generator_optimizer):
        super().compile()
        self.halves = {"critic": critic_optimizer, "generator": generator_optimizer}

    def train_step(self, x):
        z = tf.random.normal([tf.shape(x)[0], 3], seed=1)
        with tf.GradientTape() as tape:
            critic_loss = tf.reduce_mean(self(z) - self.critic(x) + self.critic(x) ** 2)
        variables = self.critic.trainable_variables
        self.halves["critic"].apply(tape.gradient(critic_loss, variables), variables)
        with tf.GradientTape() as tape:
            generator_loss = -tf.reduce_mean(self(z))
        variables = self.generator.trainable_variables
        self.halves["generator"].apply(tape.gradient(generator_loss, variables), variables)
        return {"critic_loss": critic_loss, "generator_loss": generator_loss}


def test_two_optimizers_and_a_compile_of_its_own():
    keras.utils.set_random_seed(0)
    model = Adversarial()
    model(X[:1, :3])
    pruned = tfgumbel.prune(model, 0.5, seed=0)
    optimizers = keras.optimizers.SGD(0.01), keras.optimizers.Adam(0.001)
    pruned.compile(*optimizers)
    history = pruned.fit(X, epochs=3, batch_size=8, verbose=0).history
    assert np.all(np.isfinite(history["critic_loss"])) and int(pruned.settled) == 1
    assert [int(optimizer.iterations) for optimizer in optimizers] == [15, 15]
    sparse = pruned.finalize()
    kernels = [w for w in sparse.get_weights() if w.ndim == 2]
    assert sum(map(np.count_nonzero, kernels)) == pruned.budget.k


class Hidden(Stepping):
    """Calls its optimizer where its gradients cannot be followed."""

    @tf.function
    def train_step(self, data):
        return super().train_step(data)


class Without(Plain):
    """Moves its weights by hand."""

    def train_step(self, data):
        for variable in self.trainable_variables:
            variable.assign(0.9 * variable)
        return {}


@pytest.mark.parametrize(
    ("kind", "match"), [(Hidden, "graph of its own"), (Without, "gave no gradient")]
)
def test_what_cannot_be_followed_is_refused(kind, match):
    model = kind()
    model(X[:1])
    pruned = tfgumbel.prune(model, 0.5, seed=0)
    pruned.compile("adam", "mse")
    with pytest.raises(ValueError, match=match):
        pruned.fit(X, X[:, :2], verbose=0)


def test_loops_that_are_not_called_are_named(caplog):
    class Loops(Plain):
        def fit(self, *arguments, **named):
            raise NotImplementedError

        def predict(self, *arguments, **named):
            raise NotImplementedError

    model = Loops()
    model(X)
    with caplog.at_level("WARNING", logger="tfgumbel"):
        tfgumbel.prune(model, 0.4)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split(",")[0] for text in said] == [
        "Loops defines its own `fit`",
        "Loops defines its own `predict`",
    ]
    caplog.clear()
    plain = Plain()
    plain(X)
    tfgumbel.prune(plain, 0.4)
    assert not caplog.records
