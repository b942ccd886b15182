"""Recomputes roots with Python's hashlib, from the files and from the rules, and not from the Rust code.

    pouw trees --db STORE --json | python3 tests/verify_sample.py --dir DIRECTORY --sample 100
    pouw tree --db STORE --tree ALL --json | python3 tests/verify_sample.py --dir DIRECTORY --one-tree --block-size 4096

The first form takes a random sample of the complete trees, each of which is one file below DIRECTORY. The
second takes every tree in the document as one over all files below DIRECTORY, in bytewise order of their paths:
cut into blocks, or without --block-size one leaf for each file. Leaves, bytes, root and commitment are
compared. Prints `checked N, mismatches M`; ends with 1 if anything differs or nothing could be checked.
"""

import argparse
import hashlib
import json
import os
import random
import sys
import urllib.parse


def sha3(data):
    return hashlib.sha3_512(data).digest()


def root_of(leaves):
    """By the definition, level by level; leaves are hashes."""
    while len(leaves) > 1:
        leaves = [sha3(b"".join(leaves[i : i + 2])) for i in range(0, len(leaves), 2)]
    return leaves[0]


def blocks_of(path, block):
    with open(path, "rb") as file:
        data = file.read(block) if block else file.read()
        yield data
        while block and len(data) == block:
            data = file.read(block)
            if data:
                yield data


def files_below(directory):
    found = []
    for parent, _, names in os.walk(os.fsencode(directory)):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append((os.path.relpath(path, os.fsencode(directory)), path))
    return [path for _, path in sorted(found)]


def path_of(name, directories):
    for directory in directories:
        for tail in (os.fsencode(name), urllib.parse.unquote_to_bytes(name)):
            path = os.path.join(os.fsencode(directory), tail)
            if os.path.isfile(path):
                return path
    raise FileNotFoundError(f"no file of that name below {', '.join(directories)}")


def commitment(leaves, total, block_len, root):
    height = (leaves - 1).bit_length()
    fields = leaves.to_bytes(8, "little") + bytes([height]) + total.to_bytes(8, "little")
    return sha3(b"pouw-tree-commit-v1\0\x01" + fields + block_len.to_bytes(8, "little") + root)


def expected(tree, paths, block):
    hashes, total = [], 0
    for path in paths:
        for data in blocks_of(path, block):
            hashes.append(sha3(data))
            total += len(data)
    root = root_of(hashes)
    committed = commitment(len(hashes), total, tree["block_len"], root)
    return {"leaves": len(hashes), "total_bytes": total, "root": root.hex(), "commitment": committed.hex()}


def snake(tree):
    renamed = {"blockLen": "block_len", "totalBytes": "total_bytes"}
    return {renamed.get(key, key): value for key, value in tree.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", action="append", required=True, help="a directory that was ingested")
    parser.add_argument("--prefix", default="", help="the prefix it was ingested with")
    parser.add_argument("--sample", type=int, default=100, help="trees to check, 100 by default")
    parser.add_argument("--seed", type=int, help="makes the sample repeatable")
    parser.add_argument("--one-tree", action="store_true", help="a tree is over all files of the directories")
    parser.add_argument("--block-size", type=int, default=0, help="with --one-tree: how its files were cut")
    parser.add_argument("document", nargs="?", help="JSON of `pouw trees` or `pouw tree`; default standard input")
    options = parser.parse_args()

    with open(options.document) if options.document else sys.stdin as file:
        document = json.load(file)
    trees = [snake(tree) for tree in document.get("trees", [document])]
    trees = [tree for tree in trees if tree["root"]]
    if len(trees) > options.sample:
        trees = random.Random(options.seed).sample(trees, options.sample)

    mismatches = 0
    for tree in trees:
        try:
            if options.one_tree:
                paths, block = [path for d in options.dir for path in files_below(d)], options.block_size
            else:
                name = tree["name"].removeprefix(options.prefix)
                paths, block = [path_of(name, options.dir)], tree["block_len"]
            wrong = [(key, tree[key], value) for key, value in expected(tree, paths, block).items() if tree[key] != value]
        except OSError as error:
            wrong = [("file", tree["name"], error)]
        for key, found, value in wrong:
            print(f"{tree['name']}: {key} is {found}, hashlib says {value}", file=sys.stderr)
        mismatches += bool(wrong)
    print(f"checked {len(trees)}, mismatches {mismatches}")
    sys.exit(0 if trees and not mismatches else 1)


main()
