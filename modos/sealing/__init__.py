"""The data files of an object, sealed for recipients and opened again, in one commit."""

from modos.sealing.changes import (
    Recipients, find_plain, find_recipients, open_elements, revoke_elements, seal_elements, share_elements, verify,
)

__all__ = [
    "Recipients", "find_plain", "find_recipients", "open_elements", "revoke_elements", "seal_elements", "share_elements", "verify",
]
