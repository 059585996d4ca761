"""Fetches a commit of a model into the user's Hugging Face cache, and prints its folder there.

Says how far it is on stderr, in lines of `progress BYTES TOTAL`, without TOTAL where that is not known.
"""

import io
import sys
from typing import Any, ClassVar

from huggingface_hub import snapshot_download
from huggingface_hub.utils import disable_progress_bars
from tqdm import tqdm

# Only what is safe to load: no pickles, no code.
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.jinja", "tokenizer.model"]


def main() -> None:
    repository, commit = sys.argv[1:]
    disable_progress_bars()
    Progress.total_bytes = bytes_to_fetch(repository, commit)
    print(snapshot_download(repository, revision=commit, allow_patterns=PATTERNS, tqdm_class=Progress))


def bytes_to_fetch(repository: str, commit: str) -> int | None:
    """None where older versions of huggingface_hub cannot say it; why else it failed is told by the download itself."""
    try:
        files = snapshot_download(repository, revision=commit, allow_patterns=PATTERNS, dry_run=True)
    except Exception:
        return None
    return sum(file.file_size for file in files if file.will_download)


class Progress(tqdm):
    """Bars of a download, as lines for another program."""

    total_bytes: int | None = None
    byte_bars: ClassVar[list["Progress"]] = []
    told: int | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        # Some versions give what only Hugging Face's own bars know.
        options.pop("name", None)
        ours = {"file": io.StringIO(), "disable": False, "mininterval": 1, "miniters": 1}
        super().__init__(*args, **{**options, **ours})
        # One counts bytes that came over the network, one those that are in place; another one counts files.
        if options.get("unit") == "B":
            self.byte_bars.append(self)

    def display(self, *_: Any, **__: Any) -> None:
        done = max((bar.n for bar in self.byte_bars), default=None)
        if done in (None, Progress.told) or self.total_bytes == 0:
            return
        Progress.told = done
        total = "" if self.total_bytes is None else f" {self.total_bytes}"
        print(f"progress {done}{total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
