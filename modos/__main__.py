"""Run the command line with `python -m modos`."""

from modos.cli import main

if __name__ == "__main__":
    main()
