"""What starts and ends processes, without Simmer. Launchers in runs: test/integration/process-plugin."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mypy import api as mypy
from pydantic import BaseModel

from simmer_plugin import (
    Launcher,
    LaunchRequest,
    Plugin,
    Reach,
    Resources,
    TrainerCommand,
    end_group,
    is_running,
    launchers,
    start_detached,
)
from simmer_plugin.context import Log
from simmer_plugin.describe import description_of
from simmer_plugin.planning import resources_message, resources_of


def request_in(folder: Path, *argv: str) -> LaunchRequest:
    command = TrainerCommand(argv, {"GREETING": "hello"}, folder)
    return LaunchRequest(command, Resources(), folder / "out", folder / "err", Log(None))  # type: ignore[arg-type]


def test_what_is_started_has_its_own_session_and_writes_to_files(tmp_path: Path) -> None:
    process_id = start_detached(request_in(tmp_path, "sh", "-c", "echo $GREETING $PWD; exec sleep 60"))
    try:
        assert is_running(process_id)
        assert os.getsid(process_id) == process_id
        while not (tmp_path / "out").read_text():
            assert is_running(process_id)
        assert (tmp_path / "out").read_text() == f"hello {tmp_path}\n"
    finally:
        end_group(process_id, 5)
    assert not is_running(process_id)
    end_group(process_id, 5)


def test_what_is_started_sees_the_gpus_that_it_is_given(tmp_path: Path) -> None:
    asked = request_in(tmp_path, "sh", "-c", 'echo "[$CUDA_VISIBLE_DEVICES]"; exec sleep 60')
    process_id = start_detached(replace(asked, devices=("1", "3")))
    while not (tmp_path / "out").read_text():
        assert is_running(process_id)
    end_group(process_id, 5)
    assert (tmp_path / "out").read_text() == "[1,3]\n"


def test_what_ignores_its_end_is_forced(tmp_path: Path) -> None:
    process_id = start_detached(
        request_in(tmp_path, "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done")
    )
    while not (tmp_path / "out").read_text():
        assert is_running(process_id)
    end_group(process_id, 0.2)
    assert not is_running(process_id)


def test_a_launcher_may_not_know_how_many_processes_it_starts(tmp_path: Path) -> None:
    author = tmp_path / "author.py"
    author.write_text(
        "from simmer_plugin import Plugin, Resources\n"
        "def processes(options: object, resources: Resources) -> int | None:\n"
        "    return None if resources.gpus == 0 else resources.gpus\n"
        "Plugin('author', '1.0.0').launcher(processes=processes)\n"
    )
    said, problems, exit_code = mypy.run(["--strict", "--cache-dir", str(tmp_path), str(author)])
    assert (said.splitlines(), problems, exit_code) == (["Success: no issues found in 1 source file"], "", 0)


@pytest.mark.parametrize("process_id", [1, 0, -1])
def test_an_id_that_names_all_processes_is_never_signalled(process_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: signalled.append(group))
    monkeypatch.setattr(launchers, "is_running", lambda process_id: False)
    with pytest.raises(ValueError, match="is not the id of a process that was started"):
        end_group(process_id, 0)
    assert signalled == []


def test_a_group_whose_processes_are_dead_and_not_reaped_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def killpg(_group: int, _number: int) -> None:
        raise PermissionError  # as macOS tells of it

    monkeypatch.setattr(os, "killpg", killpg)
    monkeypatch.setattr(launchers, "is_running", lambda process_id: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    end_group(12345, 5)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(PermissionError):
        end_group(12345, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_whether_a_process_runs_is_asked_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "a) Z (b"
    named.symlink_to("/bin/sleep")
    process_id = start_detached(request_in(tmp_path, str(named), "60"))
    monkeypatch.setenv("PATH", "")
    assert is_running(process_id)
    end_group(process_id, 5)
    assert not is_running(process_id)


def test_resources_keep_what_is_not_said_unsaid() -> None:
    needed = Resources(cpus=2, hardware="h100")
    assert resources_of(resources_message(needed)) == needed


def test_describe_says_whether_a_launcher_says_how_it_is_reached() -> None:
    plugin = Plugin("trial", "1.2.3")

    class Options(BaseModel):
        pass

    @plugin.launcher()
    def plain(options: Options) -> Launcher:
        """Starts."""
        raise NotImplementedError

    @plugin.launcher(reach=lambda options: Reach("tcp"))
    def far(options: Options) -> Launcher:
        """Starts elsewhere."""
        raise NotImplementedError

    described = {each.name: each.has_resolve for each in description_of(plugin).launchers}
    assert described == {"plain": False, "far": True}
