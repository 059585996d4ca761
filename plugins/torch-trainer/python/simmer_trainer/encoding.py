"""Texts as tokens: markers in them become tokens, and nothing is added."""

from typing import Any


def encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Tokens of a text by itself."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_all(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Tokens of many texts, each by itself."""
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return encoded


def encode_further(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Tokens of a text that goes on with another: without the space that is put before what begins."""
    if puts_space_first(tokenizer):
        newline, whole = encode(tokenizer, "\n"), encode(tokenizer, f"\n{text}")
        if whole[: len(newline)] == newline:
            return whole[len(newline) :]
    return encode(tokenizer, text)


def encode_before(tokenizer: Any, text: str) -> tuple[int, ...]:
    """
    Tokens of a text that goes on with another, and that another goes on: white space at its end may be other tokens
    there than where a text ends.
    """
    letter, whole = encode_further(tokenizer, "A"), encode_further(tokenizer, f"{text}A")
    return whole[: -len(letter)] if letter and whole[-len(letter) :] == letter else encode_further(tokenizer, text)


def puts_space_first(tokenizer: Any) -> bool:
    """Whether a text by itself is read with a space before it, as by Llama 2's tokenizer."""
    return encode(tokenizer, "\na") != encode(tokenizer, "\n") + encode(tokenizer, "a")
