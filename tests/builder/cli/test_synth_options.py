"""`synth` and `seal` take the same options, so that a seal finds what parts have made."""

import click
import pytest

from builder.cli.building import seal, synth
from builder.cli.options import MAX_BATCH
from builder.cli.synth_options import synth_options
from builder.render import batch


def names(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_seal_takes_all_that_synth_takes_and_no_more() -> None:
    assert names(synth) - names(seal) == {"--part", "--dry-run"}
    assert not names(seal) - names(synth)


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", "1025", "9" * 5000])
def test_a_batch_is_a_number_or_auto(text: str) -> None:
    @click.command()
    @synth_options
    def command(**_: object) -> None:
        raise AssertionError

    with pytest.raises(click.BadParameter, match="neither a whole number from 1 to 1024 nor auto"):
        command.main(["--batch", text], standalone_mode=False)


def test_no_batch_is_larger_than_those_of_the_trial() -> None:
    assert batch.MAX_BATCH == MAX_BATCH
