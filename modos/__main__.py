"""`python -m modos`: the program, of this Python."""

from modos.cli import main

if __name__ == "__main__":
    main()
