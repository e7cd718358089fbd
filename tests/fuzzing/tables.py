"""Damage to the index of a checkpoint bundle, with checksums that fit, so that it is not found by them."""

from random import Random

from bundle_writing import table, varint

from generators.tensorflow.bundle import _table

from .mutations import any_of, damaged_bytes

HUGE = (2**20, 2**31, 2**40, 2**63, 2**64 - 1, 10**30)


def damaged_index(rng: Random, content: bytes) -> bytes:
    """Return the table with its header or one of its entries saying something else."""
    entries = list(_table(content))
    index = rng.choice([0, rng.randrange(len(entries))])
    key, message = entries[index]
    if index == 0:
        shards = rng.choice([0, 1, 2, 3, *HUGE])
        message = rng.choice(
            [b"\x08" + varint(shards) + b"\x1a\x02\x08\x01", b"", message + b"\x10\x01", b"\x08" + b"\xff" * 5000]
        )
    else:
        rank = rng.choice([0, 1, 40, 5000])
        dimension = b"\x08" + varint(rng.choice([0, 1, 3, *HUGE]))
        shape = (b"\x12" + varint(len(dimension)) + dimension) * rank
        fields = [
            b"\x08" + varint(rng.choice([0, 1, 2, 7, 8, 14, 99, *HUGE])),
            b"\x12" + varint(len(shape)) + shape,
            b"\x18" + varint(rng.choice([0, 1, 5, *HUGE])),
            b"\x20" + varint(rng.choice([0, 1, 10**6, *HUGE])),
            b"\x28" + varint(rng.choice([0, 1, 48, *HUGE])),
            b"\x3a\x00",
            b"\x35" + rng.randbytes(4),
        ]
        # Of a field that is there twice the last one counts.
        message = rng.choice([message + rng.choice(fields), message + rng.choice(fields), damaged_bytes(rng, message)])
        key = rng.choice([key, key, key, b"\xff\xfe", b"\0x", b"a" * 5000, b"GenEncWrapper/Generator/" + key])
    entries[index] = (key, message)
    if rng.random() < 0.1:
        entries += [(b"x" * (i % 500), message) for i in range(rng.choice([10, 300]))]
    return table(entries, rng.choice([1, 16, 10_000]), rng.choice([0] * 9 + [1]))


BUNDLE = any_of(damaged_index, damaged_index, damaged_index, damaged_bytes)
