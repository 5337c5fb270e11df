"""The documentation site: ``make docs`` builds it with Sphinx from the pages where they lie, and from the code."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

project = "mammo"
author = "mammo contributors"
copyright = "mammo contributors, Apache-2.0. Research use only"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mammo.docs.site.attribute_texts",
    "mammo.docs.site.cross_references",
    "mammo.docs.site.generated",
    "mammo.docs.site.mathml",
    "mammo.docs.site.offline",
]

# The sources are the repository: pages stay where readers of the code find them, and their relative links hold.
root_doc = "docs/index"
include_patterns = ["CHANGELOG.md", "CONTRIBUTING.md", "docs/**.md", "bundles/*/docs/README.md", "examples/*/README.md"]
exclude_patterns = ["docs/_build"] + [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "bundles", "examples")
]

myst_heading_anchors = 3
toc_object_entries = False  # modules alone beside a page: a list of every method hides them
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False  # what is returned is told in words, which are no type
napoleon_custom_sections = ["Shape"]

# Every name of ours must lead somewhere. Those of other projects cannot, without their sites.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!mammo\b)[a-z_]\w*\..+"),
    ("py:class", "Module|Dropout|BatchNorm|Tokenizer|NotificationEvent|InterventionEvent"),
    ("py:class", "ApplicationEntity|Association|BaseServer"),
    ("py:class", r"(dict|tuple)\[.*"),  # Napoleon cuts types of attributes at their commas
    ("py:class", r"mammo\.pipeline\.study\.pretraining_arms\.Pretraining"),  # told by the command line's page
]
suppress_warnings = ["ref.python"]  # the short name of a class that two rooms have, such as View

html_theme = "furo"
html_title = "mammo"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["extra"]  # index.html, which leads to the start page
html_show_sourcelink = False
html_copy_source = False
