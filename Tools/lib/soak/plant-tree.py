#!/usr/bin/env python3
"""plant-tree.py FOLDER SEED: makes a small tree whose shape the seed decides, of everything that takes a number in one
of the two tables: files of all layouts, directories with and without an index, links of both kinds, attributes."""

import os
import random
import sys

folder, seed = sys.argv[1], int(sys.argv[2])
dice = random.Random(seed)
BLOCK = 4096
folders = [folder]
files = []


def name():
    return "%s-%d" % ("n" * dice.choice((1, 8, 60, 200)), dice.getrandbits(40))


def write(path):
    """A file of a few bytes, of a few blocks, or of blocks so far apart that each needs a map node."""
    kind = dice.random()
    with open(path, "wb") as file:
        if kind < 0.7:
            file.write(dice.randbytes(dice.randrange(300)))
        elif kind < 0.95:
            file.write(dice.randbytes(dice.randrange(20 * BLOCK)))
        else:
            for part in range(dice.randrange(1, 4)):
                file.seek(part << 20)
                file.write(dice.randbytes(100))


os.mkdir(folder)
for _ in range(dice.randrange(2, 12)):
    path = os.path.join(dice.choice(folders), name())
    os.mkdir(path)
    folders.append(path)
for _ in range(dice.randrange(100, 400)):
    # Half of all names are in one directory, which gets an index.
    path = os.path.join(dice.choice((folders[-1], dice.choice(folders))), name())
    kind = dice.random()
    if kind < 0.05:
        os.symlink("x" * dice.randrange(1, 3000), path)
    elif kind < 0.1 and files:
        # Each file once: fsck.varve mends a file that lost one of several names only when it has no other.
        os.link(files.pop(dice.randrange(len(files))), path)
    else:
        write(path)
        files.append(path)
        if kind > 0.97:
            os.setxattr(path, "user.long", dice.randbytes(dice.randrange(200)))
