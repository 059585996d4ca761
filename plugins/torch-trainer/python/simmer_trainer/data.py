"""Rows of prompts and completions, as tokens and the mask that says which of them are trained."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from simmer_trainer.encoding import encode_all, encode_further, puts_space_first
from simmer_trainer.errors import TrainingError
from simmer_trainer.rendering import RowTexts, render_row
from simmer_trainer.reply_ends import opening_after

# Rows are grouped by length within so many global batches: little padding, and batches still mix.
_BATCHES_PER_GROUP = 32
_PART_OF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class TokenizedRow:
    """One row: the prompt's tokens are seen, the completion's are trained, but for those that others say in it."""

    id: str
    token_ids: list[int]
    prompt_tokens: int
    truncated: bool
    # Where tokens of the completion begin, and end, that are only seen: the turns between two replies.
    seen: tuple[tuple[int, int], ...] = ()
    # Whether calls of the prompt are not in it, since the chat template leaves them out.
    loses_calls: bool = False

    @property
    def trained_tokens(self) -> int:
        # The first token of a sequence is seen by nothing that could predict it.
        length = len(self.token_ids)
        between = sum(min(end, length) - min(start, length) for start, end in self.seen)
        return max(0, length - max(1, self.prompt_tokens)) - between

    @property
    def trained_mask(self) -> list[bool]:
        """True where the token counts for the loss."""
        mask = [index >= max(1, self.prompt_tokens) for index in range(len(self.token_ids))]
        for start, end in self.seen:
            for index in range(start, min(end, len(mask))):
                mask[index] = False
        return mask

    @property
    def replies(self) -> list[list[int]]:
        """Of each run of trained tokens, these: a reply, as far as it was not cut."""
        runs = groupby(zip(self.token_ids, self.trained_mask, strict=True), key=lambda token: token[1])
        return [[token for token, _ in run] for trained, run in runs if trained]

    @property
    def labels(self) -> list[int]:
        """-100 where the loss does not look, as transformers has it."""
        return [token if trained else -100 for token, trained in zip(self.token_ids, self.trained_mask, strict=True)]


def read_rows(file: Path, positions: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """
    Reads `prompt`, `completion`, `tools` where there are any, and `id` (or the position) of a Parquet file. Raises
    TrainingError data_invalid.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(file)
        missing = [name for name in ("prompt", "completion") if name not in schema.names]
        if missing:
            raise TrainingError(
                "data_invalid",
                f"{file} lacks the column {' and '.join(missing)}; it has {', '.join(schema.names)}.",
            )
        further = [name for name in ("tools", "id") if name in schema.names]
        table = parquet.read_table(file, columns=["prompt", "completion", *further])
        if positions is not None:
            beyond = [position for position in positions if position >= table.num_rows]
            if beyond:
                raise TrainingError("row_missing", f"{file} has {table.num_rows} rows; there is no row {beyond[0]}.")
            table = table.take(list(positions))
        rows: list[dict[str, Any]] = table.to_pylist()
    except FileNotFoundError as error:
        raise TrainingError("data_invalid", f"There is no file {file}.") from error
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        raise TrainingError("data_invalid", f"{file} cannot be read as Parquet: {error}") from error
    for index, row in enumerate(rows):
        position = index if positions is None else positions[index]
        name = row.get("id")
        row["id"] = str(name) if name is not None else str(position)
    return rows


def token_texts(token_ids: Sequence[int], tokenizer: Any) -> list[str]:
    """Of each token its text. Of the tokens of one character the last has all of it, those before have none."""
    texts = [""] * len(token_ids)
    first = 0
    while first < len(token_ids):
        # A character has four bytes at most.
        ends = range(first + 1, min(first + 4, len(token_ids)) + 1)
        wholes = (end for end in ends if not tokenizer.decode(token_ids[first:end]).endswith(_PART_OF_CHARACTER))
        end = next(wholes, first + 1)
        texts[end - 1] = tokenizer.decode(token_ids[first:end])
        first = end
    return texts


def tokenize(rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int) -> list[TokenizedRow]:
    """
    Renders and tokenizes rows. No token has characters of prompt and completion, as when the model generates, so the
    border between them, and with it the mask, is exact. Where the prompt is text, the completion ends with the end of
    sequence, as in TRL's SFTTrainer, unless it ends with a special token already. Longer rows are cut at the end.
    """
    openings = {calls: opening_after(tokenizer, calls=calls) for calls in (False, True)}
    rendered = [render_row(row, tokenizer, openings) for row in rows]
    # Other markers are in the text already: the chat template, or the caller, put them there.
    prompts = encode_all(tokenizer, [one.prompt for one in rendered])
    parts = iter(_encode_parts(tokenizer, rendered))
    specials = tuple(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    result = []
    for row, prompt, texts in zip(rows, prompts, rendered, strict=True):
        token_ids, seen = list(prompt), []
        for part in texts.completion:
            start = len(token_ids)
            token_ids += next(parts)
            if not part.is_trained:
                seen.append((start, len(token_ids)))
        is_text = isinstance(row["prompt"], str) and len(token_ids) > len(prompt)
        if is_text and not row["completion"].rstrip().endswith(specials):
            token_ids += end
        result.append(
            TokenizedRow(
                id=row["id"],
                token_ids=token_ids[:max_length],
                prompt_tokens=len(prompt),
                truncated=len(token_ids) > max_length,
                seen=tuple(seen),
                loses_calls=texts.loses_calls,
            )
        )
    return result


def check_masks(rows: Sequence[TokenizedRow], max_length: int) -> None:
    """Every row has something to learn. Raises TrainingError mask_empty."""
    empty = [row for row in rows if row.trained_tokens == 0]
    if not empty:
        return
    cut = [row for row in empty if row.truncated]
    names = [row.id for row in empty]
    reason = (
        f"what is trained begins behind max_sequence_length ({max_length} tokens); raise it or drop these rows"
        if cut
        else "the completion is empty, or has only replies of weight 0; drop these rows"
    )
    raise TrainingError(
        "mask_empty",
        f"{len(empty)} of {len(rows)} rows have no token to train on: {reason}.",
        row_ids=names[:100],
    )


def _encode_parts(tokenizer: Any, rendered: Sequence[RowTexts]) -> list[list[int]]:
    """
    Tokens of all parts of all completions. Of tokenizers that put a space before a text they are what follows the
    tokens of the text before them, where these stay as they are.
    """
    texts, befores = [], []
    for row in rendered:
        before = row.prompt
        for part in row.completion:
            texts.append(part.text)
            befores.append(before)
            before += part.text
    if not puts_space_first(tokenizer):
        return encode_all(tokenizer, texts)
    heads = encode_all(tokenizer, befores)
    wholes = encode_all(tokenizer, [before + text for before, text in zip(befores, texts, strict=True)])
    return [
        whole[len(head) :] if whole[: len(head)] == head else list(encode_further(tokenizer, text))
        for head, whole, text in zip(heads, wholes, texts, strict=True)
    ]


class DataOrder:
    """
    Which rows each optimizer step sees: a function of the seed and the epoch alone, so a resumed job sees what the
    killed one would have seen, whatever else drew random numbers.
    """

    def __init__(self, lengths: Sequence[int], *, batch: int, seed: int, group_by_length: bool) -> None:
        self._lengths = lengths
        self._batch = batch
        self._seed = seed
        self._group = group_by_length
        self._epochs: dict[int, list[int]] = {}
        self.steps_per_epoch = -(-len(lengths) // batch)

    def epoch(self, epoch: int) -> list[int]:
        """Positions of all rows, in the order of this epoch."""
        if epoch not in self._epochs:
            # Only neighbours are asked for again.
            self._epochs = {key: rows for key, rows in self._epochs.items() if key >= epoch - 1}
            self._epochs[epoch] = self._shuffle(random.Random(f"{self._seed}/{epoch}"))
        return self._epochs[epoch]

    def step(self, step: int) -> list[int]:
        """The rows of an optimizer step, numbered from 1 over all epochs."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        return self.epoch(epoch)[index * self._batch : (index + 1) * self._batch]

    def steps_of(self, epoch: int) -> range:
        """The numbers of an epoch's optimizer steps."""
        first = epoch * self.steps_per_epoch + 1
        return range(first, first + self.steps_per_epoch)

    def _shuffle(self, generator: random.Random) -> list[int]:
        rows = list(range(len(self._lengths)))
        generator.shuffle(rows)
        if not self._group:
            return rows
        # The last batch may be short, and must stay the last.
        full = len(rows) // self._batch * self._batch
        batches = []
        size = self._batch * _BATCHES_PER_GROUP
        for start in range(0, full, size):
            group = sorted(rows[start : min(start + size, full)], key=lambda row: self._lengths[row], reverse=True)
            batches += [group[index : index + self._batch] for index in range(0, len(group), self._batch)]
        generator.shuffle(batches)
        rest = sorted(rows[full:], key=lambda row: self._lengths[row], reverse=True)
        return [row for batch in batches for row in batch] + rest
