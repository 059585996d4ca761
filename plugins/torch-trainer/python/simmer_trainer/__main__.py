"""`python -m simmer_trainer`, started by a launcher; see trainer.proto for the environment variables."""

import os
import sys

from simmer_trainer.attempts import follow_attempt
from simmer_trainer.libraries import load_libraries
from simmer_trainer.memory import keep_freed_memory
from simmer_trainer.ranks import Leader, RankPlace, die_with_parent, follow, rank_place
from simmer_trainer.server import StartError, keep_stdout_for_handshake, options_from_environment, serve


def main() -> None:
    handshake = keep_stdout_for_handshake()
    place = rank_place(os.environ)
    if place.size > 1:
        die_with_parent()
    if place.rank > 0:
        _prepare_environment(place)
        keep_freed_memory()
        follow(place, follow_attempt)
    try:
        options = options_from_environment(os.environ)
    except StartError as error:
        print(f"simmer_trainer: {error}", file=sys.stderr)
        sys.exit(2)
    _prepare_environment(place)
    keep_freed_memory()
    serve(options, handshake, load_libraries, Leader(place) if place.size > 1 else None)
    sys.stderr.flush()
    # Threads that compute cannot be joined, and must not outlive the interpreter's end half way.
    os._exit(0)


def _prepare_environment(place: RankPlace) -> None:
    """Before torch is imported: one device, no downloads, no chatter."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "warning")
    # Threads that spin while they wait take the cores from each other, and from whoever else runs here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if place.size == 1:
        # With several in sight, transformers would split each batch over them with DataParallel.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[0]


if __name__ == "__main__":
    main()
