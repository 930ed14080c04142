"""Metadata and dependencies of tfgumbel; tools are configured in pyproject.toml."""

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent

EXAMPLES = [
    "matplotlib>=3.10,<4",
    "scikit-learn>=1.6,<2",
    "tensorboard>=2.20,<3",
    "tensorflow-datasets>=4.9.10,<4.10",
]
DOCS = [
    "furo>=2025.12,<2027",
    "myst-parser>=5,<6",
    "sphinx>=9,<10",
    "sphinx-copybutton>=0.5.2,<0.6",
    "sphinx-design>=0.8,<0.9",
]
DEV = [
    *EXAMPLES,
    "build>=1.2,<2",
    "hypothesis>=6.150,<7",
    "mypy>=2,<3",
    "pandas>=2.2,<4",
    "pre-commit>=4,<5",
    "pytest>=9,<10",
    "pytest-xdist>=3.8,<4",
    "pytest-timeout>=2.4,<3",
    "ruff==0.17.5",
    "sybil>=10,<11",
]

setup(
    name="tfgumbel",
    version="0.1.0",
    description=(
        "Gradient estimators for discrete latent variables and L0-budgeted pruning, "
        "for TensorFlow and Keras 3"
    ),
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    packages=find_packages(include=["tfgumbel", "tfgumbel.*", "pruning", "pruning.*"]),
    package_data={"tfgumbel": ["py.typed"], "pruning": ["py.typed"]},
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.3,<3",
        "keras>=3.15,<3.16",
        "numpy>=2.0,<3",
        "rich>=14,<16",
        "scipy>=1.13,<2",
        "tensorflow>=2.21,<2.22",
        "tensorflow-probability[tf]>=0.25,<0.26",
    ],
    extras_require={
        "examples": EXAMPLES,
        "docs": DOCS,
        "dev": DEV,
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
