"""`synth` and `seal` take the same options, so that a seal finds what parts have made."""

import click
import pytest

from builder.cli.building import seal, synth
from builder.cli.synth_options import synth_options


def names(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_seal_takes_all_that_synth_takes_and_no_more() -> None:
    assert names(synth) - names(seal) == {"--part", "--dry-run"}
    assert not names(seal) - names(synth)


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", "9999999"])
def test_a_batch_is_a_number_or_auto(text: str) -> None:
    @click.command()
    @synth_options
    def command(**_: object) -> None:
        raise AssertionError

    with pytest.raises(click.BadParameter, match="neither a whole number of 1 or more nor auto"):
        command.main(["--batch", text], standalone_mode=False)
