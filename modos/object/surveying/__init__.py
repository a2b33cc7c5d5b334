"""Survey local files, which become elements of an object by their names and headers.

In: files, references, and a `Matcher` that asks and reports. Out: additions to a
transaction, one element for each file, linked to its samples and its reference.

Nothing is guessed: what a header says is used and reported; what it leaves open
is asked, or is an error that says how to settle it. All of a survey's errors
come at once.

It imports transactions and what is below them; `modos.object.gathering` is its caller.
"""

from modos.object.surveying.files import survey
from modos.object.surveying.names import name_files

__all__ = ["name_files", "survey"]
