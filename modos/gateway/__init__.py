"""Give out the files of one object on the loopback address, decrypted in this process.

`open_gateway` gives every file an address with a secret token in it, that
samtools, bcftools, IGV, GATK and other programs read by range; encrypted files
appear under their plain names. `open_view` serves the pages and the genome
browser of the server over the same object.

In: the address of an object, and a secret key. Out: addresses.

It imports the server, whose pages and answers it uses, objects and encryption. Nothing plain is written to a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modos.gateway.loopback import Gateway, open_gateway
    from modos.gateway.viewing import View, open_view

__all__ = ["Gateway", "View", "open_gateway", "open_view"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from modos.gateway import loopback, viewing

        return getattr(viewing if "iew" in name else loopback, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
