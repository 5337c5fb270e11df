"""A Sphinx extension: names in docstrings lead to where they are documented.

Docstrings name a class as one imports it (``mammo.networks.SwinEncoder``), as the code around them does
(``SwinEncoder``), or by a name that is the only one of its kind; the reference documents it in its module
(``mammo.networks.swin.SwinEncoder``). A name that exists without a text of its own is shown without a link; one that
leads nowhere is a warning.
"""

from __future__ import annotations

from pydoc import locate
from typing import Any

__all__ = ["setup"]


def setup(app: Any) -> dict[str, Any]:
    """Look a Python name up once more before it is called missing."""
    app.connect("missing-reference", _find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _find(app: Any, env: Any, node: Any, content: Any) -> Any:
    if node.get("refdomain") != "py":
        return None
    domain, role = env.domains.python_domain, node["reftype"]
    thing = _thing(node["reftarget"], node.get("py:module"), node.get("py:class"))
    if thing is None:
        kinds = domain.objtypes_for_role(role)
        ending = f".{node['reftarget']}"
        found = [name for name, entry in domain.objects.items() if name.endswith(ending) and entry.objtype in kinds]
    else:
        home = f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', None)}"
        found = [home] if home in domain.objects else []
    if len(found) == 1:
        return domain.resolve_xref(env, node["refdoc"], app.builder, role, found[0], node, content)
    return None if thing is None else content


def _thing(target: str, module: str | None, of_class: str | None) -> Any:
    """What a name stands for in the class and the module around it, or by its whole path; None if nothing."""
    around = [f"{module}.{of_class}", module] if of_class else [module] if module else []
    names = [*(f"{place}.{target}" for place in around), *([target] if target.startswith("mammo.") else [])]
    return next((thing for name in names if (thing := locate(name)) is not None), None)
