"""What a model's chat template makes of messages."""

from datetime import date
from typing import Any

from simmer_trainer.errors import TrainingError

# What a template takes for today: the day that Llama 3's have where nobody tells them one. By the clock, a job that
# goes on tomorrow would train on other rows, and the same stage would make another model.
_TODAY = date(2024, 7, 26)


def render_chat(
    tokenizer: Any,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    row_id: str = "",
    generation_prompt: bool = True,
) -> str:
    """The chat template's text. Raises TrainingError data_invalid where there is no template, or it refuses."""
    where = f"Row {row_id}: " if row_id else ""
    if not tokenizer.chat_template:
        raise TrainingError(
            "data_invalid",
            f"{where}the prompt is messages, and the model's tokenizer has no chat template. Give the prompt as text.",
            row_ids=[row_id] if row_id else [],
        )
    try:
        text: str = tokenizer.apply_chat_template(
            messages,
            tools=tools,
            tokenize=False,
            add_generation_prompt=generation_prompt,
            strftime_now=_TODAY.strftime,
        )
    except Exception as error:
        # Templates are programs: they raise whatever they like.
        raise TrainingError(
            "data_invalid",
            f"{where}the chat template refuses the messages: {error}",
            row_ids=[row_id] if row_id else [],
        ) from error
    return text
