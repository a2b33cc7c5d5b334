"""`progress=True` shows a bar of tqdm, counts every byte once, and is silent where nobody asks for it."""

import io
import sys
from inspect import signature

import pytest

from modos.api import MODO
from modos.demo.dataset import generate
from modos.errors import InvalidInputError, NotFoundError
from modos.storage.progress_bars import ProgressBar, show_progress

pytest.importorskip("tqdm", reason="bars are those of tqdm, which the extra `notebook` installs")


@pytest.fixture
def modo(tmp_path):
    generate(tmp_path)
    return MODO.from_file(tmp_path / "modo.yaml", tmp_path / "ex")


@pytest.fixture
def bars(monkeypatch):
    """All bars that were made, with what they were told."""
    from tqdm.std import tqdm

    made = []

    class Seen(tqdm):
        def __init__(self, *given, **named):
            super().__init__(*given, file=io.StringIO(), **named)
            self.closed = 0
            made.append(self)

        def close(self):
            self.closed += not self.disable
            super().close()

    monkeypatch.setattr("modos.storage.progress_bars._load_tqdm", lambda: Seen)
    return made


def test_every_way_shows_one_bar_that_is_closed(modo, tmp_path, bars):
    from modos.encryption.keys import SecretKey

    secret = SecretKey.random()
    modo.download(tmp_path / "copy", progress=True)
    modo.pack(tmp_path / "ex.zip", progress=True)
    modo.find_problems(progress=True, thorough=True)
    list(modo.stream_genomics("demo2.bam", progress=True))
    assert modo.count("demo2.bam", progress=True) > 1000
    modo.encrypt([secret.public], progress=True)
    modo.decrypt(secret, progress=True)
    with modo.transaction(progress=True) as transaction:
        transaction.add_element(
            {"id": "again", "@type": "AlignmentSet", "data_format": "BAM", "data_path": "b.bam"}, tmp_path / "demo2.bam"
        )
    MODO.from_file(tmp_path / "modo.yaml", tmp_path / "new", progress=True)
    assert len(bars) == 9 and all(bar.closed == 1 and bar.n > 0 for bar in bars)
    assert [bar.desc.split(":")[0] for bar in bars[:2]] == ["download", "pack"]


def test_a_stream_counts_the_bytes_of_the_file(modo, tmp_path, bars):
    list(modo.stream_genomics("demo2.bam", progress=True))
    size = (tmp_path / "demo2.bam").stat().st_size
    assert bars[0].total == size and bars[0].n == size


def test_what_fails_leaves_no_open_bar(modo, tmp_path, bars):
    with pytest.raises(NotFoundError):
        modo.add_element(
            {"id": "x", "@type": "DataEntity", "data_format": "BAM", "data_path": "x.bam"}, tmp_path / "none.bam", progress=True
        )
    with pytest.raises(ZeroDivisionError):
        with modo.transaction(progress=True):
            1 / 0
    assert all(bar.closed == 1 for bar in bars)


@pytest.mark.parametrize("asked", [False, None])
def test_nothing_is_shown_to_who_does_not_ask(modo, tmp_path, bars, capfd, asked):
    modo.download(tmp_path / "copy", progress=asked)
    list(modo.stream_genomics("demo2.bam", progress=asked))
    assert bars == [] and capfd.readouterr() == ("", "")


def test_a_function_is_called_as_before(modo, tmp_path):
    seen = []
    modo.download(tmp_path / "copy", progress=seen.append)
    modo.download(tmp_path / "copy2", seen.append)
    assert sum(seen) > 0


def test_the_place_of_an_argument_does_not_matter(bars):
    @show_progress
    def work(first, progress=None, last=None):
        progress and progress(5)
        return first, last

    assert work(1, True, 3) == (1, 3) and work(1, progress=True) == (1, None) and work(1, False) == (1, None)
    assert [bar.n for bar in bars] == [5, 5] and all(bar.closed == 1 for bar in bars)


def test_several_threads_advance_one_bar(bars):
    from concurrent.futures import ThreadPoolExecutor

    bar = ProgressBar("work")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [bar(1) for _ in range(500)], range(8)))
    bar.close()
    assert len(bars) == 1 and bars[0].n == 4000


def test_without_tqdm_it_is_said_what_to_install(modo, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(InvalidInputError, match="tqdm is not installed"):
        modo.download(tmp_path / "copy", progress=True)
    assert not (tmp_path / "copy").exists()


def test_type_checkers_are_told_that_true_is_taken():
    """mypy --strict takes `progress=True` where the annotation is that alias, and not where it is Progress."""
    told = {
        name: signature(method).parameters["progress"].annotation
        for name in dir(MODO)
        if callable(method := getattr(MODO, name)) and not name.startswith("_") and "progress" in signature(method).parameters
    }
    assert len(told) > 25 and set(told.values()) == {"ProgressLike | None"}, told
