"""A tokenizer that puts a space before a text."""

from typing import Any


def tokenizer_like_llama_2(template: str | None = None) -> Any:
    """Spaces are letters, and every text has one before it."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    letters = ["</s>", *"▁\n0123456789+=?[]/INSTabcdefghijklmnopqrstuvwxyz", "▁5"]
    vocabulary = {letter: index for index, letter in enumerate(dict.fromkeys(letters))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", "5")]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", chat_template=template)
