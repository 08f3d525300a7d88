import os
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import tas
from tas.architecture import Architecture
from tas.config import SearchOptions, TrainOptions
from tas.config.files import read_yaml
from tas.config.groups import Keeping
from tas.cutting.build import build
from tas.errors import TasError
from tas.runs.files import directory_whole, write_text
from tas.runs.load import load
from tas.runs.results import Result
from tas.runs.run import Run, newest_search
from tests.results import search_result, train_result
from tests.spaces import unpruned

SMALL = unpruned("resnet20", num_classes=3, in_channels=1)


def finish(run: Run, result: Result) -> None:
    """What a command does at the end of a run."""
    run.keep(SMALL, build(SMALL), {})
    result.write(run)


def finished(path: Path, seed: int = 0) -> Run:
    """A finished training run of a network that was never trained."""
    torch.manual_seed(seed)
    run = Run(path)
    run.start(TrainOptions.of(output=str(path)))
    finish(run, train_result())
    return run


class Code:
    """What an attacker would put into a file of weights."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    write_text(path, "old")

    def cut_off(self: Path, text: str, encoding: str) -> None:
        with self.open("w", encoding=encoding) as file:
            file.write(text[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", cut_off)
    with pytest.raises(TasError, match=r"cannot be written \(.*No space left"):
        write_text(path, "new and long")
    assert path.read_text() == "old"


def test_a_directory_is_there_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    path, earlier = tmp_path / "front", tmp_path / "front.part"
    earlier.mkdir()
    (earlier / "half").touch()  # of a process that was killed
    with pytest.raises(TasError, match="cannot be written"), directory_whole(path) as draft:
        write_text(draft / "table", "a")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
    with directory_whole(path) as draft:
        write_text(draft / "table", "b")
    assert [file.name for file in tmp_path.iterdir()] == ["front"]
    assert [file.name for file in path.iterdir()] == ["table"]


def test_writing_leaves_no_draft_behind(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "grüße")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text(encoding="utf-8") == "grüße"


def test_a_run_without_output_is_named_for_what_it_does_and_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run.of(Keeping(), "search", "resnet20-digits")
    assert re.fullmatch(r"runs/search/resnet20-digits-\d{8}-\d{6}", run.path.as_posix())


def test_runs_of_the_same_second_get_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda layout: "20260102-030405")
    paths = []
    for _ in range(3):
        run = Run.of(Keeping(), "search", "x")
        run.start(SearchOptions())
        paths.append(run.path.name)
    assert paths == ["x-20260102-030405", "x-20260102-030405-2", "x-20260102-030405-3"]


def test_output_and_resume_name_the_directory() -> None:
    assert Run.of(Keeping(output="here"), "search", "x").path == Path("here")
    assert Run.of(Keeping(output="here", resume="there"), "search", "x").path == Path("there")


def test_an_output_that_holds_something_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for path in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(TasError, match=f"--output {path}: exists already"):
            Run(path).start(SearchOptions.of(output=str(path)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_an_empty_directory_will_do_as_output(tmp_path: Path) -> None:
    Run(tmp_path).start(SearchOptions.of(output=str(tmp_path)))
    assert (tmp_path / "config.yaml").is_file()


def test_an_output_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TasError, match=r"--output .*file/below: cannot be written"):
        Run(tmp_path / "file" / "below").start(SearchOptions())


def test_a_resumed_run_keeps_the_options_that_it_began_with(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(SearchOptions.of(epochs=3))
    resumed = SearchOptions.of(epochs=3, workers=1, resume=str(run.path))
    Run.of(resumed.keeping, "search", "x").start(resumed)
    saved = yaml.safe_load(run.config.read_text())
    assert (saved["epochs"], saved["workers"], saved["resume"]) == (3, 0, None)


def test_a_run_that_goes_on_begins_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        run = Run(tmp_path / name, go_on=True)
        run.check_free()
        run.start(SearchOptions.of(epochs=3))
        assert yaml.safe_load(run.config.read_text())["epochs"] == 3


def test_a_run_that_goes_on_goes_on_in_a_used_directory(tmp_path: Path) -> None:
    path = tmp_path / "run"
    Run(path).start(SearchOptions.of(epochs=3))
    (path / "half.json").write_text("done so far")
    before = Run(path).config.read_text()
    run = Run(path, go_on=True)
    run.check_free()
    run.start(SearchOptions.of(epochs=3, workers=1))
    assert run.config.read_text() == before
    assert (path / "half.json").read_text() == "done so far"


def test_a_run_that_does_not_go_on_refuses_a_used_directory(tmp_path: Path) -> None:
    path = tmp_path / "run"
    Run(path).start(SearchOptions.of(epochs=3))
    before = Run(path).config.read_text()
    for refuse in (Run(path).check_free, lambda: Run(path).start(SearchOptions.of(epochs=4))):
        with pytest.raises(TasError, match=r"--output .*run: exists already; give another directory") as error:
            refuse()
        assert "\n" not in str(error.value)
    assert Run(path).config.read_text() == before
    assert [file.name for file in path.iterdir()] == ["config.yaml"]


def test_only_a_resumed_run_goes_on() -> None:
    assert Run.of(Keeping(resume="there"), "search", "x").go_on
    assert not Run.of(Keeping(output="here"), "search", "x").go_on
    assert not Run.of(Keeping(), "search", "x").go_on


def test_a_run_is_finished_once_its_metrics_are_written(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(SearchOptions())
    assert not run.finished()
    run.keep(SMALL, build(SMALL), {})
    assert not run.finished()
    search_result(flops=1).write(run)
    assert run.finished()
    assert Result.read(run) == search_result(flops=1)
    assert Architecture.load(run.architecture) == SMALL


def test_metrics_are_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "run")
    run.start(TrainOptions())

    def full_disk(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(TasError, match=r"cannot be written \(.*No space left"):
        finish(run, train_result())
    assert not run.finished()


def test_load_gives_the_trained_network_in_eval_mode(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", seed=1)
    torch.manual_seed(1)
    network, loaded = build(SMALL).eval(), load(run.path)
    images = torch.rand(2, 1, 8, 8)
    assert not loaded.training
    assert torch.equal(loaded(images), network(images))
    assert all(tensor.device.type == "cpu" for tensor in loaded.state_dict().values())


def test_load_takes_text_and_is_tas_load(tmp_path: Path) -> None:
    finished(tmp_path / "run")
    assert tas.load is load
    assert isinstance(tas.load(str(tmp_path / "run")), torch.nn.Module)


def test_weights_are_stored_as_nothing_but_tensors(tmp_path: Path) -> None:
    stored = load_file(finished(tmp_path / "run").weights)
    assert stored.keys() == build(SMALL).state_dict().keys()


def of_an_earlier_version(run: Run, content: object) -> Path:
    """A run whose weights are in a file of torch's."""
    run.weights.unlink()
    file = run.path / "weights.pt"
    torch.save(content, file)
    return file


def test_runs_of_earlier_versions_are_loaded(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    state = load(run.path).state_dict()
    of_an_earlier_version(run, state)
    assert all(map(torch.equal, load(run.path).state_dict().values(), state.values()))


def test_load_refuses_code_without_running_it(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    ran = tmp_path / "the code ran"
    file = of_an_earlier_version(run, {"stem.weight": Code(ran)})
    with pytest.raises(TasError) as error:
        load(run.path)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut off"])
def test_damaged_weights_are_named_in_one_line(content: bytes, tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    run.weights.write_bytes(content)
    with pytest.raises(TasError) as error:
        load(run.path)
    assert str(error.value).startswith(f"{run.weights}: ") and "\n" not in str(error.value)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    unpruned("resnet20", num_classes=4, in_channels=1).save(run.architecture)
    with pytest.raises(TasError, match="does not hold the weights of"):
        load(run.path)


def test_weights_that_are_no_tensors_by_name_are_refused(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    file = of_an_earlier_version(run, torch.zeros(3))
    with pytest.raises(TasError, match=str(file)):
        load(run.path)


def test_load_refuses_what_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(TasError, match="no such directory"):
        load(tmp_path / "missing")
    run = finished(tmp_path / "run")
    run.weights.unlink()
    with pytest.raises(TasError, match=r"not a finished run; it lacks metrics.json or model.safetensors"):
        load(run.path)


def searched(name: str, finished_at: int | None) -> Run:
    run = Run(Path("runs") / "search" / name)
    run.start(SearchOptions())
    if finished_at is not None:
        finish(run, search_result())
        os.utime(run.metrics, (finished_at, finished_at))
    return run


def test_the_newest_search_is_the_one_that_finished_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    searched("c-started-first", finished_at=300)
    searched("a", finished_at=100)
    searched("d-unfinished", finished_at=None)
    searched("b", finished_at=200)
    assert newest_search().path.name == "c-started-first"


def test_without_a_finished_search_there_is_none_to_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TasError, match="no finished search"):
        newest_search()
    searched("unfinished", finished_at=None)
    with pytest.raises(TasError, match="no finished search"):
        newest_search()


def test_the_options_stand_below_what_they_were_run_by(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(SearchOptions.of(seed=3))
    first, *rest = run.config.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"# tas \S+, Python 3\.\S+, torch \S+, torchvision \S+, .*; .+, .+", first)
    assert yaml.safe_load("\n".join(rest))["seed"] == 3
    assert read_yaml("--config", run.config) == yaml.safe_load("\n".join(rest))
