"""Which presentation contexts are accepted: every storage class, in every transfer syntax that is safe to take."""

from __future__ import annotations

from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from .incoming import DEFLATED

__all__ = ["offer_storage"]

_STANDARD = "1.2.840.10008."
_STORAGE = ("1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.5.1.4.34.", "1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30")


def offer_storage(association: Association) -> None:
    """Support what the peer is about to ask for, before it is negotiated.

    Refusing one class makes a PACS fail the whole study that it routes, and pynetdicom's unrestricted storage would
    take deflated data. Private classes are taken too, since nothing but objects could be meant.

    Args:
        association: of which an A-ASSOCIATE request came in.
    """
    request = association.requestor.primitive
    syntaxes: dict[str, list[str]] = {}
    for context in [] if request is None else request.presentation_context_definition_list:
        asked = syntaxes.setdefault(str(context.abstract_syntax), [])
        asked += [str(s) for s in context.transfer_syntax if s not in DEFLATED and str(s) not in asked]
    known = {str(context.abstract_syntax) for context in association.acceptor.supported_contexts}
    association.acceptor.supported_contexts += [
        build_context(uid, offered)
        for uid, offered in syntaxes.items()
        if offered and uid not in known and (uid.startswith(_STORAGE) or not uid.startswith(_STANDARD))
    ]
