"""Other machines, asked over HTTP: which of them may be reached, in which time, and how much of an answer is read."""
