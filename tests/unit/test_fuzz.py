"""The short run of the fuzz targets: the corpus, crashers that were fixed among it, and seeded mutations of it.

The long one: `python -m tests.fuzz all --seconds 600 --jobs 4`.
"""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import runs
from tests.fuzz.targets import CORPUS, TARGETS, Target

BY_NAME = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    before = structlog.get_config() if structlog.is_configured() else None
    runs.quieten()
    yield
    structlog.reset_defaults()
    if before is not None:
        structlog.configure(**before)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Pieces of the corpus, words and any bytes in a row."""
    corpus = sorted(target.corpus(), key=len)[:40]
    spans = st.tuples(st.sampled_from(corpus), st.integers(0, 200), st.integers(0, 400))
    known = spans.map(lambda span: span[0][span[1] : span[1] + span[2]])
    pieces = [st.sampled_from(corpus), known, st.binary(max_size=40)]
    if target.words:
        pieces.append(st.sampled_from(target.words))
    return st.lists(st.one_of(pieces), max_size=6).map(lambda parts: b"".join(parts)[: target.max_size])


@BY_NAME
def test_corpus_and_mutations(target: Target) -> None:
    """As many as it has in the whole run, fewer in `tests/run quick`."""
    count = target.short * settings().max_examples // settings.get_profile("whole").max_examples
    assert runs.short_run(target, count) > count


@BY_NAME
def test_generated_inputs(target: Target) -> None:
    """Fewer than the mutations, but Hypothesis shrinks what it finds."""

    @settings(max_examples=min(settings().max_examples, target.short // 4), derandomize=True, database=None)
    @given(inputs(target))
    def run(data: bytes) -> None:
        target(data)

    run()


def test_each_folder_of_the_corpus_has_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_a_crash_is_told_with_its_input(tmp_path) -> None:
    def run(data: bytes) -> None:
        if len(data) > 3:
            raise IndexError("too long")

    target = Target("made-up", run, (ValueError,), max_size=64)
    report = runs.mutation_run(target, seconds=0.2, seed=1, folder=tmp_path)
    assert len(report.findings) == 1
    with pytest.raises(runs.FindingError) as finding:
        runs.execute(target, report.findings[0].read_bytes())
    assert isinstance(finding.value.__cause__, IndexError)
