"""The tokenizer of a Hugging Face folder, as its authors published it."""

from pathlib import Path
from typing import Any

# What tokenizers differ in: spaces in a row, new lines, digits, apostrophes, code, other scripts.
_PROBE = "Hello  there, it's 12345.\n\n\tdef f(x):\n    return x**2 # é 日本語 мир"


def load_published(folder: str | Path) -> Any:
    """
    As transformers opens it, unless that cuts text in another way than the folder's tokenizer.json. transformers 5
    builds the tokenizers of some classes anew, by the rules of the class, and models such as DeepSeek-R1-Distill-Llama
    name Llama 2's class and have other rules: spaces and new lines would be lost. Then the file counts.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        return tokenizer
    published = Tokenizer.from_file(str(file))
    # A file that was saved after a training may have the lengths of texts there.
    published.no_truncation()
    published.no_padding()
    expected = published.encode(_PROBE, add_special_tokens=False).ids
    if tokenizer(_PROBE, add_special_tokens=False)["input_ids"] == expected:
        return tokenizer
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
