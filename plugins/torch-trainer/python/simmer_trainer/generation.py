"""Serves Generate: samples as they finish, and what is seen of them on the way."""

import time
from collections.abc import Callable, Iterator

from simmer_trainer import describe
from simmer_trainer.decoder import Decoder
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import OpenModel

_PROGRESS_SECONDS = 0.3


def generate(
    request: pb.GenerateRequest, opened: OpenModel, is_active: Callable[[], bool]
) -> Iterator[pb.GenerateResponse]:
    """
    Answers every prompt under every policy, samples as they finish. Pull-based: while nothing is asked for, nothing is
    decoded. Returns early where `is_active` says that nobody listens.
    """
    decoder = Decoder(request, opened)
    started = time.monotonic()
    told_at, told_tokens = started, 0
    while decoder.has_work and is_active():
        decoder.step()
        for response in decoder.take_samples():
            yield pb.GenerateResponse(sample=response)
        now = time.monotonic()
        if now - told_at < _PROGRESS_SECONDS and decoder.has_work:
            continue
        if request.stream_tokens:
            for tokens in decoder.take_live():
                yield pb.GenerateResponse(tokens=tokens)
        yield pb.GenerateResponse(
            progress=pb.GenerationProgress(
                samples_completed=decoder.samples_completed,
                samples_total=decoder.samples_total,
                tokens_decoded=decoder.tokens_decoded,
                tokens_per_second=(decoder.tokens_decoded - told_tokens) / max(now - told_at, 1e-9),
                peak_memory_bytes=describe.peak_memory_bytes(),
            )
        )
        told_at, told_tokens = now, decoder.tokens_decoded
    if is_active():
        yield pb.GenerateResponse(
            completed=pb.GenerationCompleted(
                samples=decoder.samples_completed,
                tokens_decoded=decoder.tokens_decoded,
                seconds=time.monotonic() - started,
                peak_memory_bytes=describe.peak_memory_bytes(),
            )
        )
