"""Which of a unit's groups stay: `most` of them, uniformly at random, the same for the same seed on every machine.

A group stays when its draw, a keyed hash of unit and group, is among the unit's least. Equal draws are told apart by
the group's key and not by its place, since places depend on what others did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mercury.runtime.hashing import Hashes, hash_keys

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_compiled = numba.njit(cache=True, nogil=True)


def chosen(pairs: pa.Table, unit: str, keys: Sequence[str], seed: bytes, most: int) -> Mask:
    """Which rows stay.

    Parameters
    ----------
    pairs : one row for each unit and group; no unit is null.
    seed : secret; another seed is another choice.
    """
    draws = drawn(hash_keys([pairs[unit], *(pairs[key] for key in keys)]), _secret(seed))
    hashes = hash_keys([pairs[unit]])
    texts = _texts(pairs[unit])
    # Hashes of all other types are as different as the values.
    codes = hashes if texts is None else _heads(*texts)
    order, kept, first, decided = _least(hashes, codes, draws, most)
    if decided and (texts is None or _same(*texts, order, first)):
        return kept
    return by_sorting(pairs, unit, keys, draws, most)


def by_sorting(pairs: pa.Table, unit: str, keys: Sequence[str], draws: Hashes, most: int) -> Mask:
    """The same by sorting all pairs by unit, draw and group."""
    ordered = pairs.select([unit, *keys]).append_column("draw", pa.array(draws))
    order = pc.sort_indices(ordered, [(name, "ascending") for name in (unit, "draw", *keys)]).to_numpy()
    units = ordered[unit].take(pa.array(order))
    kept = np.zeros(len(order), np.bool_)
    if len(order):
        other = np.r_[True, pc.not_equal(units[1:], units[:-1]).to_numpy()]
        begins = np.flatnonzero(other)
        place = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
        kept[order[place < most]] = True
    return kept


def _secret(seed: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(seed).digest()[:8], "big"))


def _texts(units: pa.ChunkedArray) -> tuple[Numbers, npt.NDArray[np.uint8]] | None:
    """Where each text begins, and one more, and the bytes of all; None for other types."""
    if not pa.types.is_string(units.type) and not pa.types.is_large_string(units.type):
        return None
    text = units.cast(pa.large_string()).combine_chunks()
    _, offsets, data = text.buffers()
    if not len(text) or data is None or not data.size:
        return np.zeros(len(text) + 1, np.int64), np.zeros(1, np.uint8)
    starts = np.frombuffer(offsets, np.int64, count=len(text) + 1, offset=8 * text.offset)
    return starts, np.frombuffer(data, np.uint8)


@_compiled
def drawn(hashes: Hashes, secret: np.uint64) -> Hashes:  # pragma: no cover
    """The keyed hash: splitmix64 of each pair's hash and the secret."""
    draws = np.empty(len(hashes), np.uint64)
    for row in range(len(hashes)):
        # As in `mercury.runtime.hashing`: Steele, Lea and Flood, 2014.
        bits = (hashes[row] ^ secret) + np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        draws[row] = bits ^ (bits >> np.uint64(31))
    return draws


@_compiled
def _heads(starts: Numbers, content: npt.NDArray[np.uint8]) -> Hashes:  # pragma: no cover
    """The first seven bytes of each text and its length, as far as it fits a byte: all of a short one."""
    heads = np.empty(len(starts) - 1, np.uint64)
    for row in range(len(heads)):
        length = starts[row + 1] - starts[row]
        head = np.uint64(min(length, 255))
        for at in range(min(length, 7)):
            head = (head << np.uint64(8)) | np.uint64(content[starts[row] + at])
        heads[row] = head
    return heads


@_compiled
def _least(
    hashes: Hashes, codes: Hashes, draws: Hashes, most: int
) -> tuple[Numbers, Mask, Numbers, bool]:  # pragma: no cover
    """Mark the pairs with each unit's least draws, taking units with equal hashes and codes for one.

    Pairs are first put into buckets by their unit's hash, so that what is known of a bucket's units stays in the cache.
    The answer is the pairs in that order, the mask in the order of the rows, for each place in the order the first of
    the same unit, and whether no unit had equal draws, in which case it would be undecided.
    """
    rows = len(hashes)
    bits = 0
    while bits < 12 and (rows >> bits) > 8192:
        bits += 1
    shift = np.uint64(63 - bits)
    end = np.zeros((1 << bits) + 1, np.int64)
    for row in range(rows):
        end[((hashes[row] >> np.uint64(1)) >> shift) + np.uint64(1)] += 1
    for bucket in range(1 << bits):
        end[bucket + 1] += end[bucket]
    place = end[:-1].copy()
    order = np.empty(rows, np.int64)
    of, code, draw = np.empty(rows, np.uint64), np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    for row in range(rows):
        bucket = (hashes[row] >> np.uint64(1)) >> shift
        at = place[bucket]
        place[bucket] = at + 1
        order[at] = row
        of[at] = hashes[row]
        code[at] = codes[row]
        draw[at] = draws[row]
    kept = np.zeros(rows, np.bool_)
    first = np.empty(rows, np.int64)
    decided = True
    for bucket in range(1 << bits):
        low, high = end[bucket], end[bucket + 1]
        if low < high:
            groups = _numbered(of[low:high], code[low:high], first[low:high])
            stay, clear = _keep_least(first[low:high], groups, draw[low:high], most)
            for at in range(high - low):
                kept[order[low + at]] = stay[at]
                first[low + at] += low
            decided = decided and clear
    return order, kept, first, decided


@_compiled
def _numbered(hashes: Hashes, codes: Hashes, first: Numbers) -> Numbers:  # pragma: no cover
    """Write the first place of the same unit for each place; how many it has, at that place: open addressing."""
    bits = 4
    while (1 << bits) < 2 * len(hashes):
        bits += 1
    mask = np.uint64((1 << bits) - 1)
    known = np.full(1 << bits, -1, np.int64)
    groups = np.zeros(len(hashes), np.int64)
    for place in range(len(hashes)):
        slot = hashes[place] & mask
        while known[slot] >= 0 and (hashes[known[slot]] != hashes[place] or codes[known[slot]] != codes[place]):
            slot = (slot + np.uint64(1)) & mask
        if known[slot] < 0:
            known[slot] = place
        first[place] = known[slot]
        groups[known[slot]] += 1
    return groups


@_compiled
def _keep_least(first: Numbers, groups: Numbers, draws: Hashes, most: int) -> tuple[Mask, bool]:  # pragma: no cover
    """Mark the places with each unit's least draws; whether no unit had equal ones.

    Draws of a unit that has more groups than may stay are kept in order, in ``most`` slots of its own.
    """
    begin = np.empty(len(groups) + 1, np.int64)
    slots = 0
    for place in range(len(groups)):
        begin[place] = slots
        slots += most if groups[place] > most else 0
    least, whose = np.empty(slots, np.uint64), np.empty(slots, np.int64)
    filled = np.zeros(len(groups), np.int64)
    kept = np.zeros(len(groups), np.bool_)
    clear = True
    for place in range(len(groups)):
        unit, draw = first[place], draws[place]
        if groups[unit] <= most:
            kept[place] = True
            continue
        low = begin[unit]
        slot = low + filled[unit]
        if filled[unit] < most:
            filled[unit] += 1
        elif draw < least[slot - 1]:
            slot -= 1
        else:
            clear = clear and draw != least[slot - 1]
            continue
        while slot > low and least[slot - 1] > draw:
            least[slot] = least[slot - 1]
            whose[slot] = whose[slot - 1]
            slot -= 1
        clear = clear and not (slot > low and least[slot - 1] == draw)
        least[slot] = draw
        whose[slot] = place
    for slot in range(slots):
        kept[whose[slot]] = True
    return kept, clear


@_compiled
def _same(starts: Numbers, content: npt.NDArray[np.uint8], order: Numbers, first: Numbers) -> bool:  # pragma: no cover
    """Whether each text is the one that it was taken for. What has equal codes can differ from the eighth byte on."""
    longest = 0
    for row in range(len(order)):
        longest = max(longest, starts[row + 1] - starts[row])
    if longest <= 7:
        return True
    for place in range(len(order)):
        one, other = starts[order[place]], starts[order[first[place]]]
        length = starts[order[place] + 1] - one
        if starts[order[first[place]] + 1] - other != length:
            return False
        for at in range(7, length):
            if content[one + at] != content[other + at]:
                return False
    return True
