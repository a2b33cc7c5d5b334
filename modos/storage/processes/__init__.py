"""Processes that work on the same files as this one, its children and forks among them.

In: work to be done apart from this process, or under way in others. Out: children
for libraries that may abort (`children`), state that a fork makes anew (`forking`),
marks that tell whether the process that made them still runs (`ownership`), and
settings and errors of native libraries (`memory`, `panics`).

It imports errors, and `modos.storage.system`, alone.
"""
