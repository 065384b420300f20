import click
import pytest

from builder.cli.options import number, seed


@pytest.mark.parametrize(
    ("text", "shortest"), [("0.15", "0.15"), ("0.150", "0.15"), ("1e1", "10"), ("100", "100")]
)
def test_a_number_has_one_form(text: str, shortest: str) -> None:
    assert number(text) == shortest


@pytest.mark.parametrize("text", ["ten", "nan", "inf", "1e-10", ""])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a number such as 0\.15"):
        number(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "9223372036854775808", "", "٣", "x"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a whole number from 0 to"):
        seed(text)
    assert seed("9223372036854775807") == 2**63 - 1
