"""A key/value cache whose rows have their own lengths."""

from typing import Any

import torch
from transformers.cache_utils import Cache

_FIRST_SLOTS = 128


class SlotCache(Cache):  # type: ignore[misc]
    """
    Row r holds its tokens in slots 0 to length - 1, without padding: to crop a row is to forget that it was longer, and
    what lies behind is overwritten before it is seen. The rows in use are the first ones, so that reading them copies
    nothing; a row that is done trades places with the last of them.
    """

    is_compileable = False

    def __init__(self, config: Any, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(layers=[])  # None of transformers' own.
        text = config.get_text_config()
        self._model_type = text.model_type
        head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        key_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        shape = (rows, key_heads, _FIRST_SLOTS, head_size)
        # Zeros, not whatever memory holds: what is masked is still multiplied, and 0 x NaN is NaN.
        self._keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(text.num_hidden_layers)]
        self._values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(text.num_hidden_layers)]
        self._rows = slice(0, 0)
        # Of the slots that are written, among those of all rows and heads [rows * key_heads * tokens].
        self._written = torch.empty(0, dtype=torch.long, device=device)
        self._seen = 0

    @staticmethod
    def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
        text = config.get_text_config()
        head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        key_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        return int(2 * text.num_hidden_layers * key_heads * head_size * dtype.itemsize)

    def aim(self, rows: slice, positions: torch.Tensor, seen: int) -> None:
        """What the next forward pass is about: the rows, the slots [rows, tokens] written, how many slots are read."""
        self._rows, self._seen = rows, seen
        self._grow(seen)
        _, key_heads, slots, _ = self._keys[0].shape
        row = torch.arange(rows.start, rows.stop, device=positions.device)[:, None, None]
        head = torch.arange(key_heads, device=positions.device)[:, None]
        self._written = ((row * key_heads + head) * slots + positions[:, None]).flatten()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """key_states, value_states: [rows, key_heads, tokens, head_size]."""
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        for tensor, states in ((keys, key_states), (values, value_states)):
            if (tensor.shape[1], tensor.shape[3]) != (states.shape[1], states.shape[3]):
                kept = "keeps keys and values of other sizes than those of its heads, which Generate does not support"
                raise NotImplementedError(f"A model of type {self._model_type} {kept}")
        for tensor, states in ((keys, key_states), (values, value_states)):
            tensor.view(-1, tensor.shape[-1]).index_copy_(0, self._written, states.reshape(-1, tensor.shape[-1]))
        return keys[self._rows, :, : self._seen], values[self._rows, :, : self._seen]

    def move(self, source: int, target: int, length: int) -> None:
        """Puts a row into another's place, whose content is given up."""
        for tensor in (*self._keys, *self._values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def _grow(self, slots: int) -> None:
        have = self._keys[0].shape[2]
        if slots <= have:
            return
        # By a half at least, so that a token's share of the copying stays small.
        more = max(slots, have + have // 2) - have
        for tensors in (self._keys, self._values):
            for index, tensor in enumerate(tensors):
                tensors[index] = torch.nn.functional.pad(tensor, (0, 0, 0, more))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions and masks are given to the model; it has nothing to derive from this."""
        return 0

    def get_max_cache_shape(self, layer_idx: int = 0) -> int:
        return -1
