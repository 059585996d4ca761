"""Many budget programs side by side on one model, one token of each at a time."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import psutil
import torch

from simmer_trainer import describe
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_messages import sample_message
from simmer_trainer.generation_request import Row, make_rows
from simmer_trainer.models import OpenModel
from simmer_trainer.sampling import Sampling, choose, uniform
from simmer_trainer.slot_cache import SlotCache

_MAX_ROWS = {"cpu": 256, "cuda": 512, "mps": 64}
# Share of the free memory that the cache may take.
_CACHE_SHARE = 0.4
# Tokens, padding included, in one pass over prompts.
_PREFILL_TOKENS = {"cpu": 4096, "cuda": 32_768, "mps": 8192}


class Decoder:
    """The rows that are decoded now, those that wait for a place, and the cache."""

    def __init__(self, request: pb.GenerateRequest, opened: OpenModel) -> None:
        self._model = opened.model
        self._tokenizer = opened.tokenizer
        self._device = torch.device(describe.device().name)
        self._sampling = Sampling(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p if request.sampling.HasField("top_p") else None,
            top_k=request.sampling.top_k if request.sampling.HasField("top_k") else None,
        )
        rows = make_rows(request, opened)
        # Long prompts first: neighbours are padded to each other, and the longest work starts earliest.
        self._waiting = deque(sorted(rows, key=lambda row: -row.prompt_tokens))
        self._active: list[Row] = []
        policies = max(1, len(request.policies)) if request.HasField("thinking_format") else 1
        self.samples_total = len(rows) * policies
        self.samples_completed = 0
        self.tokens_decoded = 0
        self._ready: list[pb.Sample] = []
        self._capacity = min(len(rows), _choose_batch(request, opened, rows))
        self._cache = SlotCache(self._model.config, self._capacity, self._model.dtype, self._device)

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._active)

    def take_samples(self) -> list[pb.Sample]:
        ready, self._ready = self._ready, []
        return ready

    def take_live(self) -> list[pb.TokensGenerated]:
        """Tokens since the last call."""
        messages = []
        for row in self._active:
            if row.live:
                messages.append(
                    pb.TokensGenerated(
                        prompt_id=row.prompt_id,
                        policy_id=row.feed.policy_id,
                        sample_index=row.sample_index,
                        text=self._tokenizer.decode(row.live),
                        token_count=len(row.live),
                    )
                )
                row.live = []
        return messages

    @torch.inference_mode()
    def step(self) -> None:
        """Takes in rows while there is room, and moves every active row on by one token."""
        room = self._capacity - len(self._active)
        # A few at a time would waste passes: a big batch is refilled when an eighth of it is free.
        if self._waiting and (room >= max(1, self._capacity // 8) or not self._active):
            self._admit(room)
        if not self._active:
            return
        tokens = [row.queue.popleft() for row in self._active]
        lengths = [row.length for row in self._active]
        logits = self._forward([[token] for token in tokens], lengths, first_row=0)
        for row in self._active:
            row.length += 1
        choosing = [index for index, row in enumerate(self._active) if not row.queue]
        if choosing:
            rows = [self._active[index] for index in choosing]
            chosen = choose(
                logits[choosing].float(),
                self._sampling,
                [row.feed.banned for row in rows],
                [uniform(row.seed, row.feed.stream, row.feed.index) for row in rows]
                if self._sampling.temperature > 0
                else [],
            )
            self.tokens_decoded += len(rows)
            for row, token in zip(rows, chosen, strict=True):
                self._tell(row, token)
            # From the back, so that a row that moves into a gap has been looked at.
            for index in reversed(choosing):
                if not self._active[index].queue:
                    self._retire(index)

    def _tell(self, row: Row, token: int) -> None:
        """Sends a program its token; one that has ended is left with nothing to feed."""
        policy_id = row.feed.policy_id
        row.live.append(token)
        with suppress(StopIteration):
            row.ask(row.program.send(token))
        if row.feed.policy_id != policy_id:
            row.live = []
        self._collect(row)

    def _collect(self, row: Row) -> None:
        for outcome in row.outcomes:
            self._ready.append(
                sample_message(
                    outcome,
                    self._tokenizer,
                    prompt_id=row.prompt_id,
                    sample_index=row.sample_index,
                    seed=row.seed,
                    prompt_tokens=row.prompt_tokens,
                )
            )
        self.samples_completed += len(row.outcomes)
        row.outcomes.clear()

    def _retire(self, index: int) -> None:
        last = len(self._active) - 1
        if index != last:
            self._cache.move(last, index, self._active[last].length)
            self._active[index] = self._active[last]
        self._active.pop()

    def _admit(self, room: int) -> None:
        """Starts programs and has the model see their prompts, all but the last token, which the next step takes."""
        admitted: list[Row] = []
        while self._waiting and len(admitted) < room:
            row = self._waiting.popleft()
            try:
                row.ask(next(row.program))
            except StopIteration:
                # Nothing to decode: no answer was asked for.
                self._collect(row)
                continue
            admitted.append(row)
        budget = _PREFILL_TOKENS[self._device.type]
        start = 0
        while start < len(admitted):
            longest = max(1, len(admitted[start].queue) - 1)
            group = admitted[start : start + max(1, budget // longest)]
            prompts = [[row.queue.popleft() for _ in range(len(row.queue) - 1)] for row in group]
            # A long prompt goes in parts, so that attention never sees more than its share at once.
            for begin in range(0, max(map(len, prompts)), budget):
                part = [prompt[begin : begin + budget] for prompt in prompts]
                self._forward(part, [row.length for row in group], first_row=len(self._active))
                for row, tokens in zip(group, part, strict=True):
                    row.length += len(tokens)
            self._active += group
            start += len(group)

    def _forward(self, tokens: Sequence[Sequence[int]], lengths: Sequence[int], first_row: int) -> torch.Tensor:
        """
        Has rows see tokens after what they have. Shorter ones are padded behind their end, where the padding is
        overwritten before it is seen. Returns the logits after each row's last token [rows, vocabulary], right only
        where nothing was padded.
        """
        width = max(map(len, tokens))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in tokens], device=self._device)
        start = torch.tensor(lengths, device=self._device)[:, None]
        positions = start + torch.arange(width, device=self._device)  # [rows, width]
        seen = max(lengths) + width
        is_hidden = torch.arange(seen, device=self._device) > positions[:, None, :, None]  # [rows, 1, width, seen]
        # Made here once: of a mask of truth values, every layer would make this again.
        mask = torch.zeros(is_hidden.shape, dtype=self._model.dtype, device=self._device)
        mask.masked_fill_(is_hidden, -torch.inf)
        self._cache.aim(slice(first_row, first_row + len(tokens)), positions, seen)
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _choose_batch(request: pb.GenerateRequest, opened: OpenModel, rows: Sequence[Row]) -> int:
    if request.HasField("max_batch_size"):
        return max(1, request.max_batch_size)
    device = describe.device().name.partition(":")[0]
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    limits = [policy.max_thinking_tokens or opened.context_length for policy in request.policies]
    tokens = max(row.prompt_tokens for row in rows) + request.sampling.max_answer_tokens + max(limits, default=0) + 16
    row_bytes = SlotCache.bytes_per_token(opened.model.config, opened.model.dtype) * min(tokens, opened.context_length)
    return max(1, min(_MAX_ROWS[device], int(free * _CACHE_SHARE / row_bytes)))
