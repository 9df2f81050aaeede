"""Administration: pack many directories at once, with progress and an error for each that failed.

$ python examples/directories.py DIRECTORY...

Beside each directory comes NAME.tar.gz. Progress goes to standard error, the report to standard
output; the exit status is 1 if anything failed. Without arguments it packs a few of its own making.
"""

import os
import sys
import tarfile
import tempfile
from multiprocessing import Pool
from pathlib import Path


def pack(folder):
    """Pack a directory. Returns the number of its files and their bytes."""
    if not folder.is_dir():
        raise NotADirectoryError("no such directory")
    part = folder.with_name(folder.name + ".tar.gz.part")
    try:
        with tarfile.open(part, "w:gz") as archive:
            archive.add(folder, arcname=folder.name)
            files = [member for member in archive.getmembers() if member.isfile()]
        os.replace(part, part.with_suffix(""))  # a whole archive, or none
    finally:
        part.unlink(missing_ok=True)
    return len(files), sum(member.size for member in files)


def try_to_pack(folder):
    """An error is a result, too: it must not stop the others, and belongs to its directory."""
    try:
        return folder, pack(folder), None
    except (OSError, tarfile.TarError) as error:
        return folder, None, error


def main(folders):
    outcomes = []
    with Pool() as pool:
        for outcome in pool.imap_unordered(try_to_pack, folders):  # each as soon as it is done
            outcomes.append(outcome)
            print(f"{len(outcomes)}/{len(folders)} {outcome[0].name}", file=sys.stderr)
    for folder, packed, error in sorted(outcomes, key=lambda outcome: outcome[0]):
        if error:
            print(f"{folder.name}: FAILED: {type(error).__name__}: {error}")
        else:
            print(f"{folder.name}: {packed[0]} files, {packed[1]} bytes")
    failed = sum(error is not None for _, _, error in outcomes)
    print(len(outcomes) - failed, "packed,", failed, "failed")
    return 1 if failed else 0


def demonstrate():
    with tempfile.TemporaryDirectory() as root:
        for number in range(1, 5):
            folder = Path(root, f"project-{number}")
            (folder / "data").mkdir(parents=True)
            for file in range(number):
                (folder / "data" / f"{file}.txt").write_text("some text\n" * number)
        return main([*sorted(Path(root).iterdir()), Path(root, "vanished")])


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]) if sys.argv[1:] else demonstrate())
