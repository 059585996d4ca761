"""Samples of Generate and what the slow reference says of the same request, in one form."""

from typing import Any

from plain_generate import PlainGenerate
from reference_generate import Reference, ReferenceFormat, ReferencePolicy, reference_generate

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import OpenModel

ENDS = {
    pb.THINKING_END_NATURAL: "natural",
    pb.THINKING_END_FORCED: "forced",
    pb.THINKING_END_SEQUENCE: "sequence",
}
KINDS = {pb.INTERVENTION_KIND_EXTENDED: "extended", pb.INTERVENTION_KIND_ENDED: "ended"}


def as_reference(sample: pb.Sample) -> Reference:
    return Reference(
        thinking=list(sample.thinking_token_ids),
        answer=list(sample.answer_token_ids),
        interventions=[(KINDS[one.kind], one.position, tuple(one.token_ids)) for one in sample.interventions],
        thinking_end=ENDS[sample.thinking_end],
        finish_reason="stop" if sample.finish_reason == pb.FINISH_REASON_STOP else "length",
    )


def token_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def prompt_ids(tokenizer: Any, prompt: pb.Prompt) -> tuple[int, ...]:
    text = prompt.text
    if prompt.HasField("messages"):
        messages = [{"role": one.role, "content": one.content} for one in prompt.messages.messages]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return token_ids(tokenizer, text)


def reference_format(tokenizer: Any, form: Any) -> ReferenceFormat:
    return ReferenceFormat(
        end=token_ids(tokenizer, form.end),
        seen_end=token_ids(tokenizer, form.end.rstrip()),
        newline=token_ids(tokenizer, "\n"),
        final=token_ids(tokenizer, form.final_answer_prompt),
    )


def expected(
    opened: OpenModel, plain: PlainGenerate, prompt: pb.Prompt, one: Any, form: Any, max_answer_tokens: int
) -> Reference:
    """What one policy should make of one prompt. A policy without a maximum has what the context leaves."""
    tokenizer = opened.tokenizer
    ids = (*prompt_ids(tokenizer, prompt), *token_ids(tokenizer, form.start))
    marks = reference_format(tokenizer, form)
    left = opened.context_length - len(ids) - len(marks.newline) - len(marks.end) - len(marks.final) - max_answer_tokens
    return reference_generate(
        plain.next_token,
        ids,
        marks,
        ReferencePolicy(
            one.max_thinking_tokens if one.HasField("max_thinking_tokens") else left,
            one.min_thinking_tokens,
            one.ignore_end_count,
            token_ids(tokenizer, one.word),
            one.spending_rule == pb.SPENDING_RULE_PER_ROUND,
            room=left,
        ),
        frozenset({tokenizer.eos_token_id, opened.model.generation_config.eos_token_id} - {None}),
        max_answer_tokens,
        lambda sequence: tokenizer.decode(sequence).endswith("\n"),
    )


def whole_sequence(found: Reference, marks: ReferenceFormat) -> list[int]:
    """All that followed the prompt, what was forced at the end of thinking included."""
    if found.interventions and found.interventions[-1][0] == "ended":
        # The final answer prompt is a part of the answer as well.
        return [*found.thinking, *found.interventions[-1][2], *found.answer[len(marks.final) :]]
    return [*found.thinking, *marks.end, *found.answer]
