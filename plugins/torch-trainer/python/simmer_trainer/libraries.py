"""Loads torch and transformers, which take seconds, after the server serves."""

import threading

_lock = threading.Lock()
_is_loaded = False


def load_libraries() -> None:
    """
    Called before anything else of theirs is imported, by every thread that will. transformers puts another module in
    its own place while it is imported, and a thread that waits for that import is given the wrong one.
    """
    global _is_loaded
    with _lock:
        if _is_loaded:
            return
        import torch  # noqa: F401
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401
        from transformers.utils import logging

        logging.disable_progress_bar()
        _is_loaded = True
