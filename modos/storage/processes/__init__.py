"""Processes: forked ones, children for libraries that may abort, marks of those that are at work, memory, panics."""
