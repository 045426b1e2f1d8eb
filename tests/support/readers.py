"""A process with many readers, each a thread: `python -m tests.support.readers FILE READERS STRIDE LENGTH`.

Reader n opens FILE for itself, so that the kernel reads ahead for each, and reads LENGTH bytes at n · STRIDE. Says `ready` when
all are about to read, then a line for each: its number and the sha256 of what it got, or the number of the error.
"""

import os
import sys
import threading
from hashlib import sha256


def main() -> None:
    """Runs the readers and waits for them."""
    readers, stride, length = map(int, sys.argv[2:])
    started = threading.Barrier(readers + 1)
    answers = ["" for _ in range(readers)]

    def read(number: int) -> None:
        file = os.open(sys.argv[1], os.O_RDONLY)
        started.wait()
        try:
            answers[number] = sha256(os.pread(file, length, number * stride)).hexdigest()
        except OSError as error:
            answers[number] = f"error {error.errno}"

    threads = [threading.Thread(target=read, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    started.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for thread in threads:
        thread.join()
    sys.stdout.writelines(f"{number} {answer}\n" for number, answer in enumerate(answers))


if __name__ == "__main__":
    main()
