"""The tests, as a package of their own: other distributions install one of this name."""
