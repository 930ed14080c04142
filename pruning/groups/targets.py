"""Which weights of a Keras model are pruned: chosen by their role, never by their shape.

A kernel multiplies inputs; a bias or a normalisation gain does not, whatever its rank: the bias of
a GRU is `(2, 3 * units)`, biases inside attention have two axes, and `LayerNormalization` over
several axes has a two-dimensional `gamma`. So the default choice goes by the name that a layer
gives its weight.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeAlias

import keras

from pruning.groups.patterns import compiled
from tfgumbel.internal import validation

KERNEL_ROLES = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")
OUTPUT_REASON = "its filters are the model's outputs; name it in `targets` to prune it"
VECTOR_ROLES = ("bias", "gamma", "beta", "moving_mean", "moving_variance")


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """One weight variable to prune, with the axes that structured masks need.

    Attributes:
        name: the variable's path within the model, such as `"dense/kernel"`.
        variable: the `keras.Variable` itself.
        role: `"kernel"`, `"recurrent_kernel"`, `"depthwise_kernel"`, `"pointwise_kernel"`,
            `"embeddings"`, or the variable's own name.
        layer: the layer that owns the variable, None if it belongs to no layer that can be found.
        input_axis: the axis summed over last in the layer's product.
        output_axes: the axes that index the layer's output channels.
    """

    name: str
    variable: Any
    role: str
    layer: Any
    input_axis: int
    output_axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.variable.shape)

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size


Filter: TypeAlias = str | Callable[[Target], bool] | keras.Layer | Sequence[Any]


def iterate_layers(root: keras.Layer) -> Iterator[keras.Layer]:
    """Yields a layer and every layer reachable from its attributes, each once.

    `Model.layers` stops at the first level of a custom layer; attributes do not.
    """
    seen: set[int] = set()
    queue: list[Any] = [root]
    while queue:
        item = queue.pop(0)
        if isinstance(item, (keras.Layer, list, tuple, dict)):
            if id(item) in seen:
                continue
            seen.add(id(item))
        if isinstance(item, keras.Layer):
            yield item
            queue.extend(vars(item).values())
        elif isinstance(item, dict):
            queue.extend(item.values())
        elif isinstance(item, (list, tuple)):
            queue.extend(item)


def _direct_variables(layer: keras.Layer) -> Iterator[Any]:
    queue: list[Any] = list(vars(layer).values())
    while queue:
        item = queue.pop()
        if isinstance(item, keras.Variable):
            yield item
        elif isinstance(item, (list, tuple)):
            queue.extend(item)
        elif isinstance(item, dict):
            queue.extend(item.values())


def _owners(model: keras.Model) -> dict[int, keras.Layer]:
    owners: dict[int, keras.Layer] = {}
    for layer in iterate_layers(model):
        for variable in _direct_variables(layer):
            # The layer that made the variable has its name in the variable's path; a layer that
            # merely borrows it (tied weights) does not replace it.
            owned = variable.path.split("/")[-2:-1] == [layer.name]
            if id(variable) not in owners or owned:
                owners[id(variable)] = layer
    return owners


def _axes(layer: Any, role: str, rank: int) -> tuple[int, tuple[int, ...]]:
    """(input axis, output axes) of a weight of the given role and rank."""
    transposed = (
        keras.layers.Conv1DTranspose,
        keras.layers.Conv2DTranspose,
        keras.layers.Conv3DTranspose,
    )
    if rank == 1:
        return 0, (0,)
    if isinstance(layer, keras.layers.EinsumDense) and role == "kernel":
        operands, output = layer.equation.replace(" ", "").split("->")
        labels = operands.split(",")[1].replace("...", "")
        if len(labels) == rank:
            outputs = tuple(i for i, label in enumerate(labels) if label in output)
            inputs = [i for i in range(rank) if i not in outputs]
            if inputs and outputs:
                return inputs[-1], outputs
    if isinstance(layer, transposed):
        return rank - 1, (rank - 2,)
    if role == "depthwise_kernel":
        # (..., channels, multiplier): the sum runs over space alone.
        return max(rank - 3, 0), (rank - 2, rank - 1)
    return rank - 2, (rank - 1,)


def _role(variable: Any, layer: Any) -> str:
    depthwise = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
    if isinstance(layer, depthwise) and variable.name == "kernel":
        return "depthwise_kernel"
    return variable.name


def candidates(model: keras.Model) -> list[Target]:
    """Every floating-point weight of a built model, in the order of `model.weights`."""
    owners = _owners(model)
    found = []
    for variable in model.weights:
        if not keras.backend.is_float_dtype(variable.dtype) or not variable.shape:
            continue
        layer = owners.get(id(variable))
        role = _role(variable, layer)
        input_axis, output_axes = _axes(layer, role, len(variable.shape))
        # Without the model's own name, which Keras numbers from run to run.
        name = variable.path.removeprefix(f"{model.name}/")
        found.append(Target(name, variable, role, layer, input_axis, output_axes))
    return found


def _matches(choice: Any, target: Target) -> bool:
    if isinstance(choice, str):
        return compiled("targets` or `exclude", choice).search(target.name) is not None
    if isinstance(choice, keras.Layer):
        inside = any(target.variable is variable for variable in choice.weights)
        return inside and target.role in (*KERNEL_ROLES, "embeddings")
    if isinstance(choice, (list, tuple, set)):
        return any(_matches(item, target) for item in choice)
    if callable(choice):
        return bool(choice(target))
    raise TypeError(
        validation.describe(
            "`targets` or `exclude` cannot be read.",
            expected="a regular expression, a callable of a `Target`, a layer, or a list of these",
            received=choice,
            fix="name weights by their path, such as 'dense/kernel'; `pruned.targets` lists them",
        )
    )


def select(
    model: keras.Model,
    targets: Filter | None = None,
    exclude: Filter | None = None,
    whole: Collection[int] = (),
) -> tuple[list[Target], dict[str, str]]:
    """Chooses the weights to prune.

    Args:
        model: a built Keras model.
        targets: None for every trainable weight with the role of a kernel; or a regular expression
            searched in the path, a callable `Target -> bool`, a layer (its kernels and embeddings),
            or a list of these.
        exclude: the same kinds; what it matches is left alone.
        whole: `id`s of variables that are left alone unless `targets` says otherwise, because
            they give the model's outputs.

    Returns:
        chosen: list of `Target`, in the order of `model.weights`.
        left: dict from the path of each other weight with two axes or more, that is neither a bias
            nor a normalisation weight, to the reason why it is not pruned.

    Raises:
        ValueError: the model is not built, nothing is chosen, or a name or layer of `exclude` fits
            no weight.

    Example:
        >>> import keras
        >>> model = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(4), keras.layers.LayerNormalization()])
        >>> chosen, left = select(model)
        >>> [(target.role, target.shape) for target in chosen], left
        ([('kernel', (8, 4))], {})
    """
    if not model.built or not model.weights:
        raise ValueError(
            validation.describe(
                "`model` has no weights yet.",
                expected="a built model",
                received=f"{model.name!r}, not built",
                fix="call it once on data, or give it an `Input`, before pruning",
            )
        )
    everything = candidates(model)
    for choice in exclude if isinstance(exclude, (list, tuple, set)) else [exclude]:
        named = isinstance(choice, (str, keras.Layer))
        if named and not any(_matches(choice, target) for target in everything):
            raise ValueError(
                validation.describe(
                    "`exclude` names what is not there.",
                    expected="a name or a layer of the model",
                    received=choice,
                    fix=f"its weights are {', '.join(target.name for target in everything)}",
                )
            )
    chosen: list[Target] = []
    left: dict[str, str] = {}
    for target in everything:
        if exclude is not None and _matches(exclude, target):
            left[target.name] = "excluded"
        elif targets is not None:
            if _matches(targets, target):
                chosen.append(target)
            elif target.role in (*KERNEL_ROLES, "embeddings"):
                left[target.name] = "not in `targets`"
        elif id(target.variable) in whole and target.role in KERNEL_ROLES:
            left[target.name] = OUTPUT_REASON
        elif target.role in KERNEL_ROLES:
            if target.variable.trainable:
                chosen.append(target)
            else:
                left[target.name] = "not trainable; name it in `targets` to prune it"
        elif target.role == "embeddings":
            left[target.name] = "an embedding table; name it in `targets` to prune it"
        elif len(target.shape) > 1 and target.role not in VECTOR_ROLES:
            if target.variable.trainable:
                left[target.name] = "not known to be a kernel; name it in `targets` to prune it"
    if not chosen:
        available = ", ".join(
            f"{target.name} {target.shape}"
            + (f" ({left[target.name]})" if target.name in left else "")
            for target in everything
        )
        raise ValueError(
            validation.describe(
                f"Nothing to prune in the model {model.name!r}.",
                expected="`targets` less `exclude` to choose at least one weight",
                received={"targets": targets, "exclude": exclude},
                fix=f"choose among its weights: {available}",
            )
        )
    return chosen, left
