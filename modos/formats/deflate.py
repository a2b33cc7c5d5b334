"""The errors that decompressors raise on damaged data."""

from isal import isal_zlib

DeflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its types take the class for one of its errors
