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
    from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

    try:
        template = tokenizer.get_chat_template(tools=tools)
        # Kept by transformers for all who render it. What is told beside the messages is data alone from 5.24 on: of a
        # function a template would be given the name of its type.
        _compile_jinja_template(template).environment.globals["strftime_now"] = _TODAY.strftime
        # Not apply_chat_template, which from transformers 5.24 on hides a content of null from the templates that ask
        # for it.
        (text,), _ = render_jinja_template(
            [messages],
            tools,
            chat_template=template,
            add_generation_prompt=generation_prompt,
            **tokenizer.special_tokens_map,
        )
    except Exception as error:
        # Templates are programs: they raise whatever they like.
        raise TrainingError(
            "data_invalid",
            f"{where}the chat template refuses the messages: {error}",
            row_ids=[row_id] if row_id else [],
        ) from error
    return str(text)
