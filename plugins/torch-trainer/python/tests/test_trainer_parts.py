"""Parts of the trainer by themselves."""

import errno
import gc
import json
import os
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trainer_process import TrainerProcess, hyperparameters, training_request

from simmer_trainer.attempts import RunningAttempt
from simmer_trainer.byte_tokenizer import make_byte_tokenizer
from simmer_trainer.checkpoints import MARKER
from simmer_trainer.data import DataOrder
from simmer_trainer.durable import full_disk_as_such
from simmer_trainer.encoded_events import watch_response
from simmer_trainer.errors import RequestError, is_out_of_memory
from simmer_trainer.fence import Fence
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.journal import AttemptJournal, AttemptRecord, Journals
from simmer_trainer.lease import Lease
from simmer_trainer.libraries import load_libraries
from simmer_trainer.sampling import Sampling, choose, uniform


def note(text: str) -> pb.TrainerEvent:
    return pb.TrainerEvent(log_written=pb.LogWritten(level=pb.LOG_LEVEL_INFO, message=text))


def record(attempt_id: str = "a", job: str = "job", attempt: int = 1) -> AttemptRecord:
    return AttemptRecord(attempt_id, job, attempt, "/output")


def kept(journal: AttemptJournal, after: int = 0) -> list[int]:
    return [pb.TrainerEvent.FromString(event).number for event in next(journal.batches_after(after, 0))]


def test_a_journal_forgets_what_was_acknowledged_and_never_its_numbers(tmp_path: Path) -> None:
    journal = Journals(tmp_path).create(record())
    for _ in range(40):
        journal.append(note("x" * 60_000))
    journal.flush()
    assert kept(journal) == list(range(1, 41))
    file = tmp_path / "attempts/a/events.log"
    before = file.stat().st_size
    journal.acknowledge(39)
    assert file.stat().st_size < before / 20
    assert kept(journal, 39) == [40]
    with pytest.raises(RequestError, match="acknowledged and are gone"):
        kept(journal, 38)
    journal.append(pb.TrainerEvent(training_completed=pb.TrainingCompleted(steps=1)))
    journal.acknowledge(99)

    # The note of what was acknowledged is not synced: a power cut may take it.
    for has_note in (True, False):
        if not has_note:
            (tmp_path / "attempts/a/acknowledged").unlink()
        again = Journals(tmp_path).get("a")
        assert again.has_ended
        assert [event for batch in again.batches_after(41, 0) for event in batch] == []


def test_a_journal_that_is_all_acknowledged_and_small_again_still_knows_that_it_ended(tmp_path: Path) -> None:
    journal = Journals(tmp_path).create(record())
    for _ in range(40):
        journal.append(note("x" * 60_000))
    journal.append(pb.TrainerEvent(training_completed=pb.TrainingCompleted(steps=1)))
    journal.acknowledge(41)
    assert (tmp_path / "attempts/a/events.log").stat().st_size < 1000
    assert Journals(tmp_path).unfinished() == []


def test_a_step_that_cannot_be_noted_fails_the_training_and_not_its_journal(tmp_path: Path) -> None:
    journal = Journals(tmp_path).create(record())
    request = pb.StartTrainingRequest(attempt_id="a", job_id="job", attempt=1, output_folder=str(tmp_path / "gone"))
    attempt = RunningAttempt(request, journal, Fence(record()))
    attempt.step_done(1)
    attempt.emit(pb.TrainerEvent(step_logged=pb.StepLogged(step=1)))
    journal.flush()
    with pytest.raises(FileNotFoundError):
        attempt.step_done(2)
    attempt.emit(pb.TrainerEvent(training_failed=pb.TrainingFailed(code="disk_full")))
    assert kept(journal) == [1, 2]


def test_nothing_comes_behind_the_end_that_another_thread_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journals(tmp_path).create(record())
    attempt = RunningAttempt(pb.StartTrainingRequest(output_folder=str(tmp_path)), journal, Fence(record()))
    append = journal.append

    def end() -> None:
        assert attempt.take_end()
        append(pb.TrainerEvent(training_canceled=pb.TrainingCanceled()))

    ending = threading.Thread(target=end)

    def append_meanwhile(event: pb.TrainerEvent) -> None:
        ending.start()
        # The end comes first where it can.
        ending.join(0.5)
        append(event)

    monkeypatch.setattr(journal, "append", append_meanwhile)
    attempt.emit(note("loading"))
    ending.join()
    told = [pb.TrainerEvent.FromString(event).WhichOneof("event") for event in next(journal.batches_after(0, 0))]
    assert told == ["log_written", "training_canceled"]


def test_numbers_of_events_are_exact_through_the_journal(tmp_path: Path) -> None:
    journal = Journals(tmp_path).create(record())
    loss = 0.1 + 0.2
    journal.append(pb.TrainerEvent(step_logged=pb.StepLogged(step=1, loss=loss, tokens_seen=2**60 + 1)))
    journal.flush()
    found = pb.TrainerEvent.FromString(next(Journals(tmp_path).get("a").batches_after(0, 0))[0]).step_logged
    assert (found.loss, found.tokens_seen) == (loss, 2**60 + 1)


def test_a_watcher_goes_on_behind_what_another_one_acknowledged_while_it_waited(tmp_path: Path) -> None:
    journal = Journals(tmp_path).create(record())
    slow = journal.batches_after(0, 0.2)
    assert next(slow) == []
    for _ in range(3):
        journal.append(note("told"))
    journal.flush()
    journal.acknowledge(2)
    assert [pb.TrainerEvent.FromString(event).number for event in next(slow)] == [3]


def test_a_watcher_sleeps_until_more_is_durable(tmp_path: Path) -> None:
    journal = Journals(tmp_path).create(record())
    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(lambda: list(journal.batches_after(0, 60)))
        for _ in range(50):
            journal.append(note("told"))
            journal.flush()
        journal.append(pb.TrainerEvent(training_completed=pb.TrainingCompleted(steps=1)))
        batches = watcher.result()
    assert all(batches)
    assert sum(map(len, batches)) == 51


@pytest.mark.parametrize("size", [0, 1, 100, 20_000, 3_000_000])
def test_events_that_are_encoded_already_make_the_same_response(size: int) -> None:
    events = [note("x" * size), note("y")]
    expected = pb.WatchResponse(events=events).SerializeToString()
    assert watch_response([event.SerializeToString() for event in events]) == expected


def test_an_attempt_that_was_never_accepted_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "attempts/half").mkdir(parents=True)
    journals = Journals(tmp_path)
    assert journals.find("half") is None
    journals.create(record("half"))
    with pytest.raises(RequestError, match="stale"):
        journals.create(record("b"))
    journals.create(record("b", attempt=2))
    journals.create(record("c", job="other"))


def test_a_lease_is_pushed_back_and_runs_out() -> None:
    lease = Lease(60)
    assert 59 < lease.seconds_left() <= 60
    lease.renew(0.001)
    assert lease.seconds_left() < 1
    lease.renew(None)
    assert lease.seconds_left() > 59


@pytest.mark.parametrize("group_by_length", [True, False])
def test_every_epoch_has_every_row_once_in_an_order_of_its_own(group_by_length: bool) -> None:
    lengths = [(index * 37) % 101 + 1 for index in range(1003)]
    order = DataOrder(lengths, batch=8, seed=3, group_by_length=group_by_length)
    again = DataOrder(lengths, batch=8, seed=3, group_by_length=group_by_length)
    other = DataOrder(lengths, batch=8, seed=4, group_by_length=group_by_length)
    # Asked for in any order, as after a resume.
    assert again.epoch(2) == order.epoch(2)
    assert again.epoch(0) == order.epoch(0)
    assert order.epoch(0) != order.epoch(1)
    assert order.epoch(0) != other.epoch(0)
    steps = [order.step(step) for step in range(1, order.steps_per_epoch + 1)]
    assert [row for rows in steps for row in rows] == order.epoch(0)
    assert Counter(order.epoch(0)) == Counter(range(1003))
    assert [len(rows) for rows in steps] == [8] * 125 + [3]
    assert order.step(order.steps_per_epoch + 1) == order.epoch(1)[:8]


def test_grouping_by_length_saves_padding() -> None:
    lengths = [(index * 37) % 101 + 1 for index in range(1003)]

    def padding(group_by_length: bool) -> float:
        order = DataOrder(lengths, batch=8, seed=3, group_by_length=group_by_length)
        steps = [order.step(step) for step in range(1, order.steps_per_epoch + 1)]
        padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in steps)
        return 1 - sum(lengths) / padded

    assert padding(True) < 0.1 < padding(False)


def test_the_byte_tokenizer_gives_back_every_text_and_knows_its_markers() -> None:
    tokenizer = make_byte_tokenizer(128)
    text = "<|im_start|>think\n3 < 4, ∑ and 🙂\t  two spaces <|im_end|>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids[0] == 1 and ids[-1] == 2 == tokenizer.eos_token_id
    assert len(ids) == len(text.encode()) - len("<|im_start|>") - len("<|im_end|>") + 2
    assert len(tokenizer) == 259


def test_uniform_numbers_are_even_and_their_own() -> None:
    drawn = [uniform(seed, stream, index) for seed in range(10) for stream in (0, 1, 1 << 31) for index in range(400)]
    assert len(set(drawn)) == len(drawn)
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.01
    buckets = Counter(int(value * 10) for value in drawn)
    assert set(buckets) == set(range(10))
    assert max(buckets.values()) < 1.15 * min(buckets.values())


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(temperature=1), {0, 1, 2, 3}),
        (Sampling(temperature=1, top_k=2), {0, 1}),
        (Sampling(temperature=1, top_p=0.6), {0, 1}),
        (Sampling(temperature=1, top_p=0.3), {0}),
        (Sampling(temperature=1, top_k=3, top_p=0.99), {0, 1, 2}),
        (Sampling(temperature=0), {0}),
    ],
)
def test_tokens_are_drawn_as_often_as_they_weigh(sampling: Sampling, allowed: set[int]) -> None:
    import torch

    weights = torch.tensor([0.5, 0.25, 0.15, 0.1])
    count = 4000
    draws = [uniform(1, 0, index) for index in range(count)]
    logits = weights.log().repeat(count, 1)
    found = Counter(choose(logits, sampling, [frozenset()] * count, draws))
    assert set(found) == allowed
    if sampling.temperature > 0:
        total = sum(float(weights[token]) for token in allowed)
        for token in allowed:
            assert found[token] / count == pytest.approx(float(weights[token]) / total, abs=0.03)
    banned = choose(weights.log().repeat(50, 1), sampling, [frozenset([0])] * 50, draws[:50])
    assert 0 not in banned


def test_a_full_disk_is_known_for_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 0
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    def fail(error: Exception) -> Exception:
        with pytest.raises(type(error) if free else OSError) as raised, full_disk_as_such(tmp_path):
            raise error
        return raised.value

    # As torch has it where a checkpoint meets the end of the disk.
    said = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 484992 vs 484880")
    full = fail(said)
    assert isinstance(full, OSError) and (full.errno, full.filename) == (errno.ENOSPC, str(tmp_path))
    free = 1 << 30
    assert fail(said) is said
    with pytest.raises(OSError, match="No space left"), full_disk_as_such(tmp_path):
        # Safetensors takes back what it wrote.
        raise ValueError("I/O error: No space left on device (os error 28)")


def test_running_out_of_memory_is_known_for_what_it_is() -> None:
    import torch

    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


class _Trap:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_what_the_libraries_hold_is_looked_at_by_no_collection_of_garbage() -> None:
    load_libraries(for_training=True)
    assert gc.get_freeze_count() > 300_000
    assert len(gc.get_objects()) < gc.get_freeze_count() / 10


def test_a_checkpoint_cannot_run_code(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path, hyperparameters=hyperparameters(checkpoint_every_steps=5))
    assert shared_trainer.train(request)[-1].HasField("training_completed")
    checkpoint = tmp_path / "output/checkpoints/step-00000005"
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (checkpoint / name).write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    marker = json.loads((checkpoint / MARKER).read_text())
    marker["files"] = {name: (checkpoint / name).stat().st_size for name in marker["files"]}
    # Whoever means harm writes digests that fit, or, as former versions, none: they are no defence.
    del marker["digests"], marker["digest"]
    (checkpoint / MARKER).write_text(json.dumps(marker))
    again = training_request(tmp_path, attempt=2, resume_from=str(checkpoint))
    failed = shared_trainer.train(again)[-1].training_failed
    assert failed.code == "internal" and "weights_only" in failed.message, failed
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_a_gguf_file_becomes_a_model_folder_with_its_own_tokens(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    file = os.environ.get("SIMMER_TEST_GGUF", "")
    if not Path(file).is_file():
        pytest.skip("SIMMER_TEST_GGUF names no GGUF file of SmolLM2")
    tmp_path.joinpath("model").mkdir()
    exported = shared_trainer.stub.Export(
        pb.ExportRequest(model=pb.ModelSource(gguf_file=file), output_folder=str(tmp_path / "model")), timeout=300
    )
    assert exported.architecture == "LlamaForCausalLM"
    assert exported.parameters == 134_515_008
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    # Ids as published with HuggingFaceTB/SmolLM2-135M-Instruct.
    assert tokenizer("<|im_start|>answer", add_special_tokens=False)["input_ids"] == [1, 11247]
    assert tokenizer.eos_token_id == 2
    assert tokenizer.chat_template
