"""`python -m mkfs`: the same as the `mkfs` and `kitfs` commands."""

from mkfs.cli.main import main

if __name__ == "__main__":
    main()
