"""``python -m forkful``: the same as the ``forkful`` command."""

from forkful.cli import main

if __name__ == "__main__":
    main()
