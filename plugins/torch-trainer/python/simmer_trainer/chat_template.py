"""What a model's chat template makes of messages."""

from typing import Any

from simmer_trainer.errors import TrainingError


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
            messages, tools=tools, tokenize=False, add_generation_prompt=generation_prompt
        )
    except Exception as error:
        # Templates are programs: they raise whatever they like.
        raise TrainingError(
            "data_invalid",
            f"{where}the chat template refuses the messages: {error}",
            row_ids=[row_id] if row_id else [],
        ) from error
    return text
