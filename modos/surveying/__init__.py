"""Files of this machine as elements of an object: what their names and headers say of each.

Nothing is guessed: what a header says is taken and told, what it leaves open
is asked, or is an error that says how to settle it. All of a survey's errors
come at once.
"""

from modos.surveying.files import survey
from modos.surveying.names import name_files

__all__ = ["name_files", "survey"]
