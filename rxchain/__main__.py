"""``python -m rxchain``: the command line."""

from rxchain.cli import main

if __name__ == "__main__":
    main(prog_name="rxchain")
