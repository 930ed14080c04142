"""The networks that pruning papers report on."""

import keras

from examples.common.files import RunError, reading

NAMES = ("lenet300", "lenet5", "resnet20")


def build(name: str, input_shape: tuple[int, int, int], num_classes: int = 10) -> keras.Model:
    """A network by its name, or a saved one by its path.

    Args:
        name: one of `NAMES`, or the path of a `.keras` file.
        input_shape: `(height, width, channels)` of an image.
        num_classes: number of logits.

    Returns:
        model: maps images, shape (batch, *input_shape), to logits, shape (batch, num_classes).
    """
    if name.endswith(".keras"):
        with reading(name, "check the path in --model, or save the model again"):
            model = keras.models.load_model(name)
        if tuple(model.input_shape[1:]) != tuple(input_shape):
            raise RunError(
                f"The model in {name} takes images of shape {tuple(model.input_shape[1:])}, the "
                f"data set has {tuple(input_shape)}. Choose the data set that it was trained on."
            )
        return model
    makers = {"lenet300": lenet300, "lenet5": lenet5, "resnet20": resnet20}
    if name not in makers:
        raise RunError(
            f"--model must be one of {', '.join(NAMES)}, or the path of a .keras file. "
            f"Received: {name!r}."
        )
    return makers[name](input_shape, num_classes)


def lenet300(input_shape: tuple[int, int, int], num_classes: int = 10) -> keras.Model:
    """LeNet-300-100: two hidden layers; 266,200 kernel weights on 28x28 images."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(300, activation="relu"),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dense(num_classes),
        ],
        name="lenet300",
    )


def lenet5(input_shape: tuple[int, int, int], num_classes: int = 10) -> keras.Model:
    """LeNet-5 as Caffe has it: 20 and 50 filters; 430,500 kernel weights on 28x28 images."""
    # Images smaller than MNIST's are padded, or nothing would be left of them.
    padding = "valid" if min(input_shape[:2]) >= 28 else "same"
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(20, 5, padding=padding),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(50, 5, padding=padding),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(500, activation="relu"),
            keras.layers.Dense(num_classes),
        ],
        name="lenet5",
    )


def resnet20(input_shape: tuple[int, int, int], num_classes: int = 10) -> keras.Model:
    """ResNet-20 of He et al. (2016), section 4.2, with 1x1 convolutions in its two shortcuts."""

    def convolution(x, filters, strides=1, size=3):
        x = keras.layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
        return keras.layers.BatchNormalization()(x)

    inputs = keras.Input(input_shape)
    x = keras.layers.ReLU()(convolution(inputs, 16))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            shortcut = convolution(x, filters, strides, size=1) if strides == 2 else x
            x = keras.layers.ReLU()(convolution(x, filters, strides))
            x = keras.layers.Add()([convolution(x, filters), shortcut])
            x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(x), name="resnet20")
