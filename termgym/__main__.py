"""`python -m termgym` is the command `termgym`."""

from termgym.cli import main

if __name__ == "__main__":
    main()
