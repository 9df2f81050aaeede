"""All questions: ``python -m bench`` from the project's root, or ``python bench``."""

import importlib
import sys
from pathlib import Path

# Each file of this folder also runs alone, and imports its neighbours by their plain names.
sys.path.insert(0, str(Path(__file__).parent))

from side_by_side import main

FILES = (
    "queue_small",
    "queue_array",
    "pool",
    "lock",
    "event",
    "shared",
    "startup",
    "tcp",
    "many",
    "map_cli",
    "growth",
)

if __name__ == "__main__":
    main([each for file in FILES for each in importlib.import_module(file).QUESTIONS])
