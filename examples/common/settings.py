"""What a training run of an example depends on, its flags, and its optimizer."""

import dataclasses

import keras
from absl import flags

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "muon")
# Of no influence on what is trained: where the data lie, and how the end is judged.
UNDECISIVE = ("data_dir", "eval_samples", "eval_images")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What every run depends on; `define_flags` says what each field does.

    An example's own settings are a subclass, frozen as well, with further fields.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    batch_size: int = 20
    steps: int = 50_000
    optimizer: str = "sgd"
    learning_rate: float = 3e-3
    momentum: float = 0.9
    decay: str = "cosine"
    warmup_steps: int = 500
    weight_decay: float = 0.0
    clip_norm: float | None = None
    seed: int = 0
    eval_every: int = 5_000


def define_flags(defaults, datasets=None):
    """Defines a flag for every field of `RunSettings`.

    A flag whose default may depend on the data set is None; `from_flags` fills it in.

    Args:
        defaults: the example's settings, of which the flags' defaults are taken.
        datasets: names that `--dataset` takes; None: an example that has neither that flag nor
            `--data_dir`.
    """
    one = defaults
    if datasets is not None:
        flags.DEFINE_enum("dataset", one.dataset, datasets, "Data to model.")
        flags.DEFINE_string("data_dir", None, "Directory of TFDS data sets; none: TFDS's own.")
    flags.DEFINE_integer("batch_size", None, "Examples of a step.", lower_bound=1)
    flags.DEFINE_integer("steps", None, "Optimizer steps.", lower_bound=1)
    flags.DEFINE_enum("optimizer", None, OPTIMIZERS, "Keras optimizer.")
    flags.DEFINE_float("learning_rate", None, "Peak rate.", lower_bound=0.0)
    flags.DEFINE_float("momentum", one.momentum, "Of sgd and rmsprop.", lower_bound=0.0)
    flags.DEFINE_enum("decay", one.decay, ["cosine", "constant"], "Of the rate after warm-up.")
    flags.DEFINE_integer("warmup_steps", None, "Linear warm-up.", lower_bound=0)
    flags.DEFINE_float("weight_decay", one.weight_decay, "Keras's decoupled weight decay.")
    flags.DEFINE_float("clip_norm", one.clip_norm, "Largest norm of the whole gradient.")
    flags.DEFINE_integer("seed", one.seed, "Of weights, batches and noise.")
    flags.DEFINE_integer("eval_every", None, "Steps between validations and checkpoints.")


def from_flags(kind, small=None):
    """Settings of a kind from the flags of its fields' names; where there is none, the default.

    Args:
        kind: a subclass of `RunSettings`.
        small: dict of defaults that hold for the embedded data set, "digits", in place of the
            kind's own.
    """
    small = small if small and flags.FLAGS.dataset == "digits" else {}
    values = {}
    for field in dataclasses.fields(kind):
        value = flags.FLAGS[field.name].value if field.name in flags.FLAGS else None
        if value is None:
            value = small.get(field.name, field.default)
        values[field.name] = value
    return kind(**values)


def decisive(settings):
    """What must agree for a run to go on, as a dict: all but `UNDECISIVE`."""
    settings = dataclasses.asdict(settings)
    return {name: value for name, value in settings.items() if name not in UNDECISIVE}


def make_optimizer(settings):
    """Keras's optimizer of that name: linear warm-up, then constant or cosine to 0."""
    rate = settings.learning_rate
    if settings.decay == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0 if settings.warmup_steps else rate,
            max(1, settings.steps - settings.warmup_steps),
            warmup_target=rate if settings.warmup_steps else None,
            warmup_steps=settings.warmup_steps,
        )
    elif settings.decay == "constant":
        schedule = rate
    else:
        raise ValueError(f'decay must be "cosine" or "constant". Received: {settings.decay!r}.')
    options = {"momentum": settings.momentum} if settings.optimizer in ("sgd", "rmsprop") else {}
    return keras.optimizers.get(
        {
            "class_name": settings.optimizer,
            "config": {
                "learning_rate": schedule,
                "weight_decay": settings.weight_decay or None,
                "global_clipnorm": settings.clip_norm,
                **options,
            },
        }
    )
