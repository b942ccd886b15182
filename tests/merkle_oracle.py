"""An independent Merkle tree over SHA3-512, written from the rules and not from the Rust code.

Prints one line of JSON for each tree of 1 to N leaves (N is the argument). Leaf i of a tree is
SHAKE256("pouw-kat" || u32le(i)) squeezed to the leaf's length. Every third tree has leaves of mixed
lengths (block_len 0), the others are files cut into blocks, most with a short last block.
"""

import hashlib
import json
import sys


def sha3(data):
    return hashlib.sha3_512(data).digest()


def leaf_data(i, length):
    return hashlib.shake_256(b"pouw-kat" + i.to_bytes(4, "little")).digest(length)


def parents(nodes):
    return [sha3(b"".join(nodes[i : i + 2])) for i in range(0, len(nodes), 2)]


def levels_root_first(leaves):
    levels = [leaves]
    while len(levels[0]) > 1:
        levels.insert(0, parents(levels[0]))
    return levels


def proof(levels, index):
    siblings = []
    for level in reversed(levels[1:]):
        sibling = index + 1 if index % 2 == 0 else index - 1
        if sibling < len(level):
            siblings.append(level[sibling])
        index //= 2
    return siblings


def leaf_lens(n):
    if n % 3 == 0:
        return 0, [65 + (i * 37 + n) % 63 for i in range(n)]
    block_len = 33 + n
    return block_len, [block_len] * (n - 1) + [1 + (n * 7) % block_len]


def commitment(n, height, total_bytes, block_len, root):
    return sha3(
        b"pouw-tree-commit-v1\0"
        + bytes([1])
        + n.to_bytes(8, "little")
        + bytes([height])
        + total_bytes.to_bytes(8, "little")
        + block_len.to_bytes(8, "little")
        + root
    )


def tree(n):
    block_len, lens = leaf_lens(n)
    levels = levels_root_first([sha3(leaf_data(i, lens[i])) for i in range(n)])
    root = levels[0][0]
    height = len(levels) - 1
    proofs = [proof(levels, i) for i in range(n)]
    return {
        "n": n,
        "block_len": block_len,
        "leaf_lens": lens,
        "total_bytes": sum(lens),
        "height": height,
        "levels_root_first": [len(level) for level in levels],
        "nodes": sum(len(level) for level in levels),
        "leaf0": levels[-1][0].hex(),
        "leaf_last": levels[-1][-1].hex(),
        "root": root.hex(),
        "commit": commitment(n, height, sum(lens), block_len, root).hex(),
        "proof_last": [sibling.hex() for sibling in proofs[-1]],
        "siblings": [len(siblings) for siblings in proofs],
        "sha3_512_of_proofs": sha3(b"".join(b"".join(p) for p in proofs)).hex(),
        "sha3_512_of_export": sha3(b"".join(b"".join(level) for level in levels)).hex(),
    }


for size in range(1, int(sys.argv[1]) + 1):
    print(json.dumps(tree(size), separators=(",", ":")))
