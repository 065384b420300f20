from collections.abc import Callable
from dataclasses import replace

import pytest
from huggingface_hub import DatasetCard

from builder.contract import Index, Manifest
from builder.share.card import card_text, licence_text, size_category
from builder.share.licences import Licence
from builder.share.publisher import Publisher
from builder.share.summary import summarise

Card = Callable[..., str]


@pytest.fixture
def card(manifest: Manifest, index: Index, publisher: Publisher) -> Card:
    def make(**changes: object) -> str:
        said = replace(publisher, **changes)
        return card_text(manifest, said, summarise(manifest, index), ["real.parquet"])

    return make


def front(text: str) -> dict[str, object]:
    """The fields as the Hub's own library reads them."""
    found: dict[str, object] = DatasetCard(text).data.to_dict()
    return found


def test_the_front_matter_is_the_hubs(card: Card) -> None:
    fields = front(card())
    assert card().startswith("---\n")
    assert fields["license"] == "cc-by-4.0"
    assert fields["pretty_name"] == "gan100"
    assert {"webdataset", "synthetic", "radiology", "class-imbalance"} <= {*fields["tags"]}
    assert fields["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "data/train-*.tar"}],
        }
    ]
    assert "extra_gated_prompt" not in fields


def test_what_the_publisher_says_cannot_become_another_field(card: Card) -> None:
    text = card(title='x"\nlicense: mit\n---\n: [', gated='Agree: "yes"\n---\nlicense: mit')
    fields = front(text)
    assert fields["license"] == "cc-by-4.0"
    assert fields["extra_gated_prompt"] == 'Agree: "yes"\n---\nlicense: mit'


def test_a_licence_of_ones_own_has_a_name_and_a_link(card: Card) -> None:
    fields = front(card(licence=Licence(id="other", name="House rules", url="")))
    assert fields["license"] == "other"
    assert fields["license_name"] == "House rules"
    assert fields["license_link"] == "LICENSE.md"


def test_the_card_answers_what_a_reviewer_asks(card: Card, manifest: Manifest) -> None:
    text = card(approved_by="The ethics board", withdrawal="By mail.", cite="@misc{x}")
    for word in (
        *("Not for diagnosis", manifest.digest, "Mass", "Chest Imaging Group", "phantom"),
        *("Research on class imbalance.", "The images of the clinic stay in the clinic."),
        *("chest@example.org", "1.0.0", "2026-11-29", "The ethics board", "By mail.", "@misc{x}"),
        *("sha256sum -c", "ssh-keygen -Y verify", "xbuild rebuild", "real.parquet"),
        *("No patient is in two", "protect privacy", "-1"),
    ):
        assert word in text, word


@pytest.mark.parametrize(
    ("images", "word"),
    [
        (1, "n<1K"),
        (1000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (10**6, "1M<n<10M"),
        (10**8, "n>10M"),
    ],
)
def test_the_hubs_words_for_sizes(images: int, word: str) -> None:
    assert size_category(images) == word


def test_the_licence_names_the_terms_of_the_source(publisher: Publisher) -> None:
    text = licence_text(replace(publisher, license_text="THE WHOLE TEXT"))
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert "The images of the clinic stay in the clinic." in text
    assert "THE WHOLE TEXT" in text
    assert "No real image is part of this release" in text
