"""
Whether files are still as they were written: disks and formats of weights do not tell of a byte that has changed. The
digests are XXH3's, which keeps up with disks, as cryptographic ones do not: they tell of accidents alone.
"""

from collections.abc import Sequence
from pathlib import Path

import xxhash

from simmer_trainer.rank_group import RankGroup

_CHUNK_BYTES = 1 << 24


def digests_of(folder: Path, names: Sequence[str], group: RankGroup) -> dict[str, str]:
    """
    By the files' names, without those that are gone. Collective: all ranks name the same files, and each reads a part
    of them.
    """
    mine = {
        name: _digest_of_file(folder / name) for name in names[group.rank :: group.size] if (folder / name).is_file()
    }
    return {name: digest for part in group.gather(mine) for name, digest in part.items()}


def digest_of(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)


def _digest_of_file(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
