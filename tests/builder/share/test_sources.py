import pytest

from builder.share.sources import source_facts


@pytest.mark.parametrize(
    "dataset", ["chexpert", "nih", "mimic", "padchest", "vindr", "brax", "rsna", "demo"]
)
def test_every_known_dataset_says_where_it_comes_from(dataset: str) -> None:
    facts = source_facts(dataset)
    assert facts is not None
    assert "https://" in facts.reference
    assert facts.population.endswith(".")
    assert facts.labels.endswith(".")


def test_a_table_of_the_users_own_is_not_guessed() -> None:
    assert source_facts("table") is None
