"""How to use each public dataset, as Markdown, from the docstrings of the adapters."""

from __future__ import annotations

import inspect
import sys

from mammo.pipeline.datasets.adapters import ADAPTERS

__all__ = ["dataset_page"]


def dataset_page() -> str:
    """A section for each name that ``mammo prepare`` takes: what the dataset is, the command, layout and options."""
    return "\n\n".join(_section(name) for name in ADAPTERS)


def _section(name: str) -> str:
    adapter = ADAPTERS[name]
    about = " ".join((sys.modules[adapter.__module__].__doc__ or "").split())
    return f"""## {name}

```{{eval-rst}}
{about}
```

    mammo prepare {name} {_folder(name)} --store prepared

```{{eval-rst}}
.. py:currentmodule:: {adapter.__module__}

.. autofunction:: {adapter.__module__}.{adapter.__name__}
   :no-index:
```"""


def _folder(name: str) -> str:
    return {"table": "images/ --csv table.csv"}.get(name, inspect.unwrap(ADAPTERS[name]).__name__.upper())
