from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from trainer.cli import main
from trainer.cli.options import options_of, seed

Call = Callable[..., Result]


def test_every_option_of_a_run_is_there(call: Call) -> None:
    text = call("fit", "--help").output
    names = (
        "shards shards-root out epochs batch lr optimizer augment init device workers seed resume"
        " arm mix steps precision accumulate compile skip-bad cache track checkpoint-minutes"
    )
    assert all(f"--{name}" in text for name in names.split())


@pytest.mark.parametrize(
    "words",
    [("--epochs", "0"), ("--batch", "1"), ("--lr", "0"), ("--optimizer", "lion"), ("--seed", "-1"),
     ("--augment", "cutmix"), ("--workers", "0"), ("--arm", "mixup"), ("--accumulate", "0"),
     ("--mix", "fake=1"), ("--cache", "disk"), ("--cache-size", "much"),
     ("--seed", "9223372036854775808"), ("--seed", "one"), ("--track", "mlflow"),
     ("--lr", "nan"), ("--lr", "inf"), ("--synthetic-weight", "nan"),
     ("--checkpoint-minutes", "inf")],
)  # fmt: skip
def test_values_out_of_range_are_usage_errors(
    call: Call, shared: Any, words: tuple[str, str]
) -> None:
    result = call("--shards", shared.path, *words)
    assert result.exit_code == 2
    assert words[0] in result.stderr


def test_a_seed_may_be_as_large_as_a_generator_takes() -> None:
    assert seed("9223372036854775807") == 2**63 - 1
    assert main.commands["fit"].make_context("fit", ["--shards", "a"]).params["seed"] == 0


def test_options_keep_their_order() -> None:
    both = options_of(click.option("--first", help="1."), click.option("--second", help="2."))

    @click.command()
    @both
    def command(**_: object) -> None:
        """Nothing."""

    text = CliRunner().invoke(command, ["--help"]).output
    assert text.index("--first") < text.index("--second") < text.index("--help")
