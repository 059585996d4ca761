"""What a budget program made, as it goes over the wire."""

from typing import Any

from simmer_trainer.budget_forcing import FinishReason, Intervention, Outcome, ThinkingEnd
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

_ENDS = {
    ThinkingEnd.NONE: pb.THINKING_END_UNSPECIFIED,
    ThinkingEnd.NATURAL: pb.THINKING_END_NATURAL,
    ThinkingEnd.FORCED: pb.THINKING_END_FORCED,
    ThinkingEnd.SEQUENCE: pb.THINKING_END_SEQUENCE,
}
_REASONS = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
    FinishReason.STOP_STRING: pb.FINISH_REASON_STOP_STRING,
}


def sample_message(
    outcome: Outcome, tokenizer: Any, *, prompt_id: str, sample_index: int, seed: int, prompt_tokens: int
) -> pb.Sample:
    thinking: str = tokenizer.decode(outcome.thinking)
    answer: str = outcome.answer_text if outcome.answer_text is not None else tokenizer.decode(outcome.answer)
    return pb.Sample(
        prompt_id=prompt_id,
        policy_id=outcome.policy_id,
        sample_index=sample_index,
        seed=seed,
        prompt_tokens=prompt_tokens,
        thinking_token_ids=outcome.thinking,
        thinking=thinking,
        answer_token_ids=outcome.answer,
        answer=answer,
        interventions=[_intervention(one, outcome, thinking, tokenizer) for one in outcome.interventions],
        thinking_end=_ENDS[outcome.thinking_end],
        finish_reason=_REASONS[outcome.finish_reason],
        shared_thinking_tokens=outcome.shared_thinking_tokens,
    )


def _intervention(one: Intervention, outcome: Outcome, thinking: str, tokenizer: Any) -> pb.Intervention:
    # Tokens may hold parts of characters: a prefix of the tokens may be a little longer than one of the text.
    before = len(tokenizer.decode(outcome.thinking[: one.position]))
    return pb.Intervention(
        kind=pb.INTERVENTION_KIND_ENDED if one.is_end else pb.INTERVENTION_KIND_EXTENDED,
        position=one.position,
        token_ids=one.token_ids,
        text=tokenizer.decode(one.token_ids),
        character_offset=min(before, len(thinking)),
    )
