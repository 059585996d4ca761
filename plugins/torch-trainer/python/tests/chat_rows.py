"""Chats for tests of what is trained: templates in the forms of published ones, and rows."""

from typing import Any

from simmer_trainer.byte_tokenizer import make_byte_tokenizer
from simmer_trainer.data import TokenizedRow, tokenize

# The templates of these two know no tools. Llama 3.1's writes calls so, ...
LLAMA = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ 'ipython' if message.role == 'tool' else message.role }}<|end_header_id|>\n\n"
    "{% if message.tool_calls %}{% set call = message.tool_calls[0].function %}"
    '{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}'
    "{% elif message.role == 'tool' %}{{ message.content | tojson }}"
    "{% else %}{% if loop.first and tools %}{{ tools | tojson }}\n\n{% endif %}{{ message.content }}{% endif %}"
    "<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
# ... and ChatML's of SmolLM3 and Hermes so.
CHATML = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# DeepSeek's: calls where there is no content, and arguments that are text.
DEEPSEEK = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is none %}{% for call in message.tool_calls %}"
    "{{ call.type + ' ' + call.function.name + ' ' + call.function.arguments }}\n{% endfor %}"
    "{% else %}{{ message.content }}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# gpt-oss's: thinking by a name of its own, before the last reply alone, and another end where a reply is the last.
HARMONY = (
    "{% for message in messages %}"
    "{% if message.thinking and loop.last and not add_generation_prompt %}"
    "<|im_start|>assistant analysis {{ message.thinking }}<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message.role }}{% if message.tool_calls %}{% set call = message.tool_calls[0].function %}"
    " to={{ call.name }} {{ call.arguments | tojson }}{% else %} final {{ message.content }}{% endif %}"
    "{{ '<|endoftext|>' if message.role == 'assistant' and loop.last else '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"
)
# Those of Qwen3-Coder and GLM-4.5: each argument by itself.
BY_THEMSELVES = CHATML.replace(
    "{{ call.function | tojson }}",
    "{{ call.function.name }}{% for key, value in call.function.arguments.items() %}"
    "<{{ key }}>{{ value if value is string else value | tojson }}</{{ key }}>{% endfor %}",
)


def bytes_with(template: str) -> Any:
    tokenizer = make_byte_tokenizer(4096)
    tokenizer.chat_template = template
    return tokenizer


QUESTION = [{"role": "user", "content": "Is it cold in Oslo?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def call(arguments: Any, name: str = "weather") -> dict[str, Any]:
    return {"type": "function", "id": "call-1", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


RESULT = {"role": "tool", "name": "weather", "tool_call_id": "call-1", "content": '{"celsius": -4}'}
ANSWER = {"role": "assistant", "content": "Yes, -4."}


def row_of(completion: Any, **columns: Any) -> dict[str, Any]:
    return {"id": "a", "prompt": QUESTION, "completion": completion, "tools": TOOLS, **columns}


def trained_texts(row: TokenizedRow, tokenizer: Any) -> list[str]:
    """Of each run of trained tokens its text."""
    runs: list[list[int]] = []
    before = False
    for token, trained in zip(row.token_ids, row.trained_mask, strict=True):
        if trained and not before:
            runs.append([])
        if trained:
            runs[-1].append(token)
        before = trained
    return [tokenizer.decode(run) for run in runs]


def texts(row: dict[str, Any], template: str = CHATML) -> list[str]:
    tokenizer = bytes_with(template)
    return trained_texts(tokenize([row], tokenizer, 4096)[0], tokenizer)
