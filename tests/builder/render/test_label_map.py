import pytest

from builder.contract import UsageError
from builder.render import named_labels, parse_label_map, resolve_label_map
from builder.render.label_map import label_for, not_shown, shown_by

PATHOLOGIES = ("Lung Lesion", "Pleural_Thickening", "Effusion")
LABELS = ("Mass", "Pleural Effusion", "Nodule")


def test_names_are_spelt_as_the_dataset_and_the_generator_spell_them() -> None:
    parsed = parse_label_map(["lung_lesion = mass", "pleural thickening=effusion"], PATHOLOGIES)
    assert parsed == (("Lung Lesion", "mass"), ("Pleural_Thickening", "effusion"))
    assert resolve_label_map(parsed, LABELS, "gan") == (
        ("Lung Lesion", "Mass"),
        ("Pleural_Thickening", "Pleural Effusion"),
    )
    assert parse_label_map([], PATHOLOGIES) == resolve_label_map((), LABELS, "gan") == ()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["Lung Lesion"], "takes PATHOLOGY=LABEL, got 'Lung Lesion'"),
        (["Lung Lesion="], "takes PATHOLOGY=LABEL"),
        (["=Mass"], "takes PATHOLOGY=LABEL"),
        (["Gout=Mass"], "the dataset has no pathology 'Gout', it has Lung Lesion, Pleural_"),
        (["Effusion=Mass", "pleural effusion=Nodule"], "names Effusion twice"),
    ],
)
def test_what_is_no_pathology_of_the_dataset_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_label_map(texts, PATHOLOGIES)


def test_what_is_no_label_of_the_generator_is_refused() -> None:
    with pytest.raises(UsageError, match="the generator gan has no label 'Gout', it has Mass, Pl"):
        resolve_label_map((("Effusion", "Gout"),), LABELS, "gan")


def test_a_message_names_the_first_labels_and_how_many_more_there_are() -> None:
    assert named_labels(LABELS) == "Mass, Pleural Effusion, Nodule"
    assert named_labels([f"l{i}" for i in range(1000)]).endswith(", l14 and 985 more")


def test_a_pathology_is_shown_by_its_own_label_unless_it_is_mapped() -> None:
    mapped = (("Effusion", "Mass"), ("Lung Lesion", "Mass"))
    assert label_for("Effusion", LABELS, ()) == "Pleural Effusion"
    assert label_for("Effusion", LABELS, mapped) == "Mass"
    assert label_for("Pleural_Thickening", LABELS, mapped) is None
    assert shown_by("Mass", PATHOLOGIES, mapped) == [0, 2]
    assert shown_by("Pleural Effusion", PATHOLOGIES, mapped) == []
    assert shown_by("Pleural Effusion", PATHOLOGIES, ()) == [2]


def test_what_no_label_shows_or_no_image_had_is_not_shown() -> None:
    assert not_shown(PATHOLOGIES, LABELS, ()) == [0, 1]
    assert not_shown(PATHOLOGIES, LABELS, (("Lung Lesion", "mass"),)) == [1]
    assert not_shown(PATHOLOGIES, LABELS, (("Lung Lesion", "mass"),), ("Mass",)) == [0, 1]
