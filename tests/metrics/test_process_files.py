"""Real processes that count in one folder: nothing lost, nothing twice, and what stays of one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values

from host.contracts import Metric
from host.errors import ConfigurationError
from host.instruments import Meter
from host.metrics import process_files
from host.metrics.metering import Measured

SENT = Metric("tenantry_letters_sent_total", "counter", "Letters sent", ("status",))
TIME = Metric("tenantry_letters_seconds", "histogram", "Time of a letter", ("kind",), buckets=(0.1, 1.0))
_CHILD = """
import sys
from pathlib import Path
from host.contracts import Metric
from host.instruments import Meter
from host.metrics.process_files import shared

async def read(): return ()

sent, label = Metric("tenantry_letters_sent_total", "counter", "Letters sent", (sys.argv[2],)), {sys.argv[2]: "x"}
time = Metric("tenantry_letters_seconds", "histogram", "Time of a letter", ("kind",), buckets=(0.1, 1.0))
alive = Metric("tenantry_processes", "gauge", "Processes", (), read, each_process=True)
with shared(Path(sys.argv[1])):
    meter = Meter((sent, time, alive))
    meter.gauges[alive.name][()].set(1)
    for line in sys.stdin:
        for _ in range(int(line)):
            meter.count(sent.name, 1, label)
            meter.observe(time.name, 0.5, {"kind": "note"})
        print("done", flush=True)
"""


class Child:
    """A process that counts as often as it is told."""

    def __init__(self, folder: Path, label: str = "status") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(folder), label],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, process_files.VARIABLE: ""},
        )  # fmt: skip
        self.count(0)

    def begin(self, times: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n"

    def count(self, times: int) -> None:
        self.begin(times)
        self.wait()

    def stop(self, how: int = 0) -> None:
        if how:
            self._process.send_signal(how)
        self._process.communicate()


@pytest.fixture
def children(tmp_path: Path) -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.stop(signal.SIGKILL)


def shown(data: Path) -> dict[tuple[str, ...], float]:
    """Sample name and label values -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in Measured(Meter((SENT, TIME)), data / "prometheus", ()).collect()
        for sample in family.samples
    }


def test_counters_when_four_processes_count_at_once_then_sums_are_exact(tmp_path: Path, children: list[Child]) -> None:
    children += [Child(tmp_path) for _ in range(4)]
    for child in children:
        child.begin(5_000)
    last = 0.0
    for _ in range(20):  # read while they write
        seen = shown(tmp_path).get((SENT.name, "x"), 0)
        assert seen >= last
        last = seen
    for child in children:
        child.wait()
    figures = shown(tmp_path)
    assert figures[SENT.name, "x"] == 20_000
    assert figures[f"{TIME.name}_bucket", "note", "0.1"] == 0
    assert figures[f"{TIME.name}_bucket", "note", "1.0"] == figures[f"{TIME.name}_count", "note"] == 20_000
    assert figures[f"{TIME.name}_sum", "note"] == pytest.approx(10_000)
    assert figures["tenantry_processes",] == 4


def test_process_when_killed_then_its_counts_stay_its_gauges_go_and_the_next_goes_on_in_its_files(
    tmp_path: Path, children: list[Child]
) -> None:
    children += [Child(tmp_path), Child(tmp_path)]
    seen = 0.0
    for round_ in range(1, 5):
        children[-1].count(10)
        assert shown(tmp_path)[SENT.name, "x"] == 10 * round_ > seen
        files = len(list((tmp_path / "prometheus").iterdir()))
        children[-1].stop(signal.SIGKILL)
        figures = shown(tmp_path)
        seen = figures[SENT.name, "x"]
        assert (seen, figures["tenantry_processes",]) == (10 * round_, 1)
        children.append(Child(tmp_path))
        assert shown(tmp_path)["tenantry_processes",] == 2
        assert len(list((tmp_path / "prometheus").iterdir())) == files


def test_folder_when_a_process_starts_alone_then_is_emptied_and_otherwise_kept(
    tmp_path: Path, children: list[Child]
) -> None:
    children.append(Child(tmp_path))
    children[-1].count(10)
    children.append(Child(tmp_path))
    assert shown(tmp_path)[SENT.name, "x"] == 10
    for child in children:
        child.stop()
    assert ("tenantry_processes",) not in shown(tmp_path)
    children.append(Child(tmp_path))
    assert (SENT.name, "x") not in shown(tmp_path)
    children[-1].count(1)
    assert shown(tmp_path)[SENT.name, "x"] == 1


def test_labels_when_another_release_declares_others_then_its_series_are_not_mixed_in(
    tmp_path: Path, children: list[Child]
) -> None:
    children += [Child(tmp_path), Child(tmp_path, label="colour")]
    for child in children:
        child.count(3)
    assert {key: value for key, value in shown(tmp_path).items() if key[0] == SENT.name} == {(SENT.name, "x"): 3}


def test_shared_when_left_then_this_process_counts_for_itself_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(process_files.VARIABLE, raising=False)
    before = values.ValueClass
    with process_files.shared(tmp_path):
        assert os.environ[process_files.VARIABLE] == str(tmp_path / "prometheus")
        assert values.ValueClass is not before
    assert process_files.VARIABLE not in os.environ
    assert values.ValueClass is before


def test_shared_when_the_library_s_variable_is_set_then_the_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(process_files.VARIABLE, str(tmp_path / "elsewhere"))
    with process_files.shared(tmp_path):
        Meter((SENT,)).count(SENT.name, 1, {"status": "sent"})
    assert {file.name for file in (tmp_path / "elsewhere").iterdir()} == {
        "folder", "0.lock", "counter_0.db", "histogram_0.db",
    }  # fmt: skip


def test_files_when_a_process_starts_then_their_room_on_the_disk_is_taken(
    tmp_path: Path, children: list[Child]
) -> None:
    children.append(Child(tmp_path))
    children[-1].count(1_000)
    for name in ("counter", "histogram", "gauge_livesum"):
        status = (tmp_path / "prometheus" / f"{name}_0.db").stat()
        assert status.st_blocks * 512 >= status.st_size >= 256 * 1024, "a hole is filled when there may be no room left"


def test_shared_when_the_folder_cannot_be_written_then_says_which_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(process_files.VARIABLE, raising=False)
    (tmp_path / "data").touch()
    with pytest.raises(ConfigurationError, match="PROMETHEUS_MULTIPROC_DIR"), process_files.shared(tmp_path / "data"):
        pass


def test_command_when_the_library_s_variable_is_set_then_counts_in_memory_and_leaves_no_files(tmp_path: Path) -> None:
    source = """
from host.contracts import Metric
from host.instruments import Meter
from host.metrics.metering import Metering

sent = Metric("tenantry_letters_sent_total", "counter", "Letters sent")
metering = Metering(None, Meter((sent,)), {})
metering.meter.count(sent.name, 1, {})
print([sample.value for family in metering.collect() for sample in family.samples])
"""
    environment = {**os.environ, process_files.VARIABLE: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, list(tmp_path.iterdir())) == ("[1.0]\n", [])
