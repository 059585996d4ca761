"""Loads torch and transformers, which take seconds, after the server serves."""

import logging
import threading
import warnings

from simmer_trainer.memory import keep_what_there_is

_lock = threading.Lock()
_is_loaded = False
_can_train = False


def load_libraries(*, for_training: bool = False) -> None:
    """
    Called before anything else of theirs is imported, by every thread that will. transformers puts another module in
    its own place while it is imported, and a thread that waits for that import is given the wrong one.

    @param for_training TRL, too. No model may be in memory then.
    """
    global _can_train, _is_loaded
    with _lock:
        if not _is_loaded:
            # Of what they will call otherwise one day: the last line before whatever ends the process is told as why.
            warnings.simplefilter("ignore", FutureWarning)
            import torch  # noqa: F401
            from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()
            # On some CPUs it warns of a kernel that it does without, as the last line before whatever ends the process.
            logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
            keep_what_there_is()
            _is_loaded = True
        if for_training and not _can_train:
            from trl import SFTTrainer  # noqa: F401

            keep_what_there_is()
            _can_train = True
