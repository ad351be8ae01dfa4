#!/usr/bin/env python3
"""compare-trees.py TRUTH FOUND SAID: whatever of TRUTH is missing or different in FOUND is named in SAID, a program's
messages, or lies in something that is. Prints what is not, and how much was; ends with 1 when anything was not."""

import os
import re
import stat
import sys

truth, found, said = sys.argv[1:4]


def named_paths(path):
    """All that a program's messages may name: each of their words, and what follows each slash in it, as paths."""
    with open(path, "rb") as file:
        words = set(re.split(r"""[\s'"‘’]+""", file.read().decode(errors="replace")))
    paths = set()
    for word in words:
        word = word.rstrip(":").rstrip("/")
        paths.add(word)
        while "/" in word:
            word = word.partition("/")[2]
            paths.add(word)
    return paths


messages = named_paths(said)


def same(left, right):
    """Whether two things that are no directories are the same."""
    a, b = os.lstat(left), os.lstat(right)
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return False
    if stat.S_ISLNK(a.st_mode):
        return os.readlink(left) == os.readlink(right)
    if not stat.S_ISREG(a.st_mode):
        return True
    with open(left, "rb") as one, open(right, "rb") as other:
        return one.read() == other.read()


def is_named(path):
    while path:
        if path in messages:
            return True
        path = os.path.dirname(path)
    # The top folder itself.
    return "." in messages


# A file of several names may be reported by any of them.
names = {}
for folder, folders, files in os.walk(truth):
    for name in files:
        place = os.path.join(folder, name)
        names.setdefault(os.lstat(place).st_ino, []).append(os.path.relpath(place, truth))
named, silent = 0, []
for folder, folders, files in os.walk(truth):
    for name in folders + files:
        path = os.path.relpath(os.path.join(folder, name), truth)
        here, there = os.path.join(truth, path), os.path.join(found, path)
        if os.path.isdir(here) and not os.path.islink(here):
            right = os.path.isdir(there) and not os.path.islink(there)
        else:
            right = os.path.lexists(there) and same(here, there)
        if right:
            continue
        others = names.get(os.lstat(here).st_ino, [])
        if is_named(path) or any(is_named(other) for other in others):
            named += 1
        else:
            silent.append(path)
for folder, folders, files in os.walk(found):
    for name in folders + files:
        path = os.path.relpath(os.path.join(folder, name), found)
        if not os.path.lexists(os.path.join(truth, path)):
            silent.append(f"{path}, which was never there")
for path in silent[:20]:
    print(f"differs, and nothing said so: {path}")
print(f"{named} reported")
sys.exit(1 if silent else 0)
