"""Whatever a stranger's bytes are: a result or one sentence, soon, and nothing outside is touched.

`make fuzz` runs the same targets for as long as you like.
"""

from pathlib import Path
from shutil import rmtree

import pytest
from bounds import fault
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation import KINDS, RANGE, Edit, apply
from tally import LEAST, Tally, missing
from targets import TARGETS

INPUTS = 40  # for each target: all of them together take twenty seconds

numbers = st.integers(0, RANGE - 1)
edits = st.lists(
    st.builds(Edit, st.sampled_from(KINDS), numbers, numbers, numbers), min_size=1, max_size=4
)


@pytest.mark.parametrize("name", TARGETS)
def test_valid_examples_are_read(name: str, tmp_path: Path) -> None:
    for number, data in enumerate(TARGETS[name].examples()):
        folder = tmp_path / str(number)
        folder.mkdir()
        TARGETS[name].call(data, folder)


def test_every_edit_takes_any_bytes() -> None:
    for kind in KINDS:
        for data in (b"", b"0", b"null", b'"a"', b"[]", b"{}", b"[1, {}]", b"\xff"):
            for number in (0, 1, 2, RANGE - 1):
                apply(data, [Edit(kind, number, number, number)], [data], ())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_it(name: str, tmp_path: Path) -> None:
    target, examples = TARGETS[name], TARGETS[name].seeds()
    folder = tmp_path / "input"

    @settings(max_examples=INPUTS, suppress_health_check=[*HealthCheck])
    @given(st.sampled_from(range(len(examples))), edits, st.none() | st.binary(max_size=300))
    def holds(number: int, changes: list[Edit], junk: bytes | None) -> None:
        data = junk or apply(examples[number], changes, examples, target.layers)
        folder.mkdir()
        try:
            assert not fault(target, data, folder)
        finally:
            rmtree(folder)

    holds()


def test_a_slow_target_gets_the_time_that_it_lacks() -> None:
    done = {
        "quick": Tally(executions=LEAST, seconds=5),
        "slow": Tally(executions=LEAST // 2, seconds=100),
        "slower": Tally(executions=LEAST // 4, seconds=100),
    }
    assert missing(done, 1000) == pytest.approx({"slow": 120, "slower": 360})
    assert missing(done, 240) == pytest.approx({"slow": 60, "slower": 180})
