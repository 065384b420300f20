import pytest

from builder.contract import UsageError
from builder.share.licences import LICENCES, find_licence


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("cc-by-4.0", "cc-by-4.0"),
        ("CC-BY-NC-SA-4.0", "cc-by-nc-sa-4.0"),
        (" Apache-2.0 ", "apache-2.0"),
        ("ODbL-1.0", "odbl"),
        ("gpl-3.0", "gpl-3.0"),
    ],
)
def test_the_hubs_id_of_either_spelling(word: str, found: str) -> None:
    assert find_licence(word).id == found


def test_every_licence_has_the_address_of_its_text() -> None:
    assert all(licence.url.startswith("https://") for licence in LICENCES.values())
    assert LICENCES["cc-by-4.0"].url == "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize("word", ["notalicense", "", "cc-by", "other", "unknown\x1b[31m"])
def test_a_word_that_is_no_licence_is_refused_with_the_list(word: str) -> None:
    with pytest.raises(UsageError, match=r"give one of apache-2\.0, .*--license-name") as refused:
        find_licence(word)
    assert "\x1b" not in str(refused.value)
