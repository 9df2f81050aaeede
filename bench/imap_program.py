"""What one writes by hand instead of ``forkful map``, with nothing of its services.

python bench/imap_program.py CHUNKSIZE INPUT OUTPUT
"""

import json
import multiprocessing
import sys

if __name__ == "__main__":
    chunksize, source, target = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    with (
        multiprocessing.get_context("fork").Pool(2) as pool,
        open(source) as lines,
        open(target, "w") as out,
    ):
        words = (line.rstrip("\n") for line in lines)
        for seq, result in enumerate(pool.imap(len, words, chunksize)):
            out.write(json.dumps({"seq": seq, "result": result}) + "\n")
