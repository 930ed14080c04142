"""Sphinx: pages in MyST Markdown, API sections from the docstrings; see `from_code.py`."""

import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from docs import docstrings, from_code  # noqa: E402

project = "tfgumbel"
html_title = "tfgumbel"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Single backticks in docstrings are code, and a link where they name something public.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", r".*"), ("py:exc", r"tf\..*")]
autodoc_default_options = {"member-order": "bysource"}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say types, shapes and ranges in words
napoleon_custom_sections = [("Attributes", "params_style"), ("Call arguments", "params_style")]
napoleon_use_rtype = False  # "Returns:" says "name: description", and the name is no type
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 80
toc_object_entries = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2563a8", "color-brand-content": "#2563a8"},
    "dark_css_variables": {"color-brand-primary": "#7fb0e6", "color-brand-content": "#7fb0e6"},
}
highlight_language = "text"  # blocks of Python say so
pygments_style = "friendly"
pygments_dark_style = "github-dark"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True


def fill_page(app: Any, name: str, content: list[str]) -> None:
    """Sphinx event: the marks of a page, filled from the code."""
    content[0] = from_code.fill(content[0])


def setup(app: Any) -> None:
    app.connect("source-read", fill_page)
    app.connect("autodoc-process-docstring", docstrings.process_docstring, priority=400)
    app.connect("autodoc-process-docstring", docstrings.process_property, priority=600)
    app.connect("autodoc-process-signature", docstrings.process_signature)
