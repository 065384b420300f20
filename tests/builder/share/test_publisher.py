from pathlib import Path

import pytest

from builder.contract import CheckError, UsageError
from builder.share.publisher import field_names, read_publisher

Said = dict[str, str | None]

TOML = """
license = "CC-BY-4.0"
creator = "Chest Imaging Group"
contact = "https://example.org/chest"
intended_use = "Research."
source_terms = "Free, if the source is named."
date = 2026-11-29
"""


def test_all_that_is_missing_stands_in_one_sentence(said: Said) -> None:
    with pytest.raises(UsageError) as refused:
        read_publisher({}, None)
    message = str(refused.value)
    for name in said:
        assert f"--{name.replace('_', '-')} (" in message
    assert message.count(".") == 1
    with pytest.raises(UsageError, match=r"add --contact \([^)]*\), or write it in --config"):
        read_publisher({**said, "contact": None}, None)


def test_nothing_is_guessed(said: Said) -> None:
    publisher = read_publisher(said, None)
    assert publisher.licence.id == "cc-by-4.0"
    assert publisher.approved_by == publisher.url == publisher.gated == ""
    assert publisher.version == "1.0.0"


def test_an_option_wins_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "release.toml"
    config.write_text(TOML)
    publisher = read_publisher({"creator": "Somebody else", "title": None}, config)
    assert (publisher.creator, publisher.contact) == ("Somebody else", "https://example.org/chest")
    assert publisher.date == "2026-11-29"


def test_files_are_found_next_to_the_config(tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("Use it well.\n")
    config = tmp_path / "release.toml"
    other = 'license = "other"\nlicense_name = "House rules"\nlicense_file = "terms.txt"\n'
    config.write_text(other + TOML.replace('license = "CC-BY-4.0"\n', ""))
    publisher = read_publisher({}, config)
    assert publisher.licence.id == "other"
    assert (publisher.licence.name, publisher.license_text) == ("House rules", "Use it well.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('licence = "MIT"', "has the field 'licence'; it may have license, license_name"),
        ("version = 2", "version must be text between quotes"),
        ("contact = [", "not valid TOML"),
        ('license_file = "absent.txt"', "absent.txt"),
    ],
)
def test_a_config_that_is_wrong_is_refused(tmp_path: Path, line: str, message: str) -> None:
    config = tmp_path / "release.toml"
    config.write_text(f"{line}\n{TOML}")
    with pytest.raises((UsageError, CheckError), match=message):
        read_publisher({}, config)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("license", "free", "The licence 'free' is unknown"),
        ("license", "other", "needs --license-name .* and --license-file"),
        ("license_name", "Mine", "belongs to --license other"),
        ("contact", "me", "--contact is 'me': give an e-mail address"),
        ("date", "29.11.2026", "--date is '29.11.2026': give a day as in 2026-11-29"),
        ("date", "20261129", "--date"),
        ("url", "ftp://x", "--url"),
        ("version", "1", "--version is '1': give three numbers"),
        ("creator", "A\nB", "--creator holds a line break"),
        ("intended_use", "a\x1b[2J", r"--intended-use holds the control character '\\x1b'"),
        ("limitations", "x" * 20_001, "--limitations has 20,001 characters: at most 20,000"),
    ],
)
def test_a_word_that_is_wrong_is_refused(said: Said, field: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_publisher({**said, field: value}, None)


def test_the_fields_of_a_config_are_the_options(said: Said) -> None:
    assert {*said} <= {*field_names()}
    assert {"license_file", "generator_card", "gated", "approved_by"} <= {*field_names()}
