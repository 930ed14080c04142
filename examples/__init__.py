"""Programs to run and to copy from; each is a folder with a README."""

import os

# Here, as every example imports this package before TensorFlow, which reads the variable as it
# loads; its notices on CUDA and CPU instructions would hide what an example prints.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
