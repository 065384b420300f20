import pytest

from builder.contract import GROUPS, KEY, ORIGINS, PATIENT, SPLITS, UsageError, check_pathologies
from builder.contract.names import FIXED_COLUMNS, NAME


def test_the_words_of_the_schema() -> None:
    assert SPLITS == ("train", "val", "test")
    assert ORIGINS == ("real", "synthetic")
    assert tuple(GROUPS) == ("view", "sex", "age")


@pytest.mark.parametrize("name", ["Mass", "Pleural_Thickening", "Épanchement (léger)", "50 %"])
def test_names_of_pathologies(name: str) -> None:
    check_pathologies([name, "Edema"])


@pytest.mark.parametrize(
    "name", [*FIXED_COLUMNS, *GROUPS, "", " Mass", "<b>", "a\nb", "$x$", "x" * 101, "\x1b[0m"]
)
def test_names_that_a_column_a_page_or_a_plot_would_act_on(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        check_pathologies(["Edema", name])


@pytest.mark.parametrize("name", ["image", "Image", "KEY", "Sketch", "Patient", "Sex"])
def test_names_that_would_make_two_columns_alike(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be used, because the tables of a dataset have"):
        check_pathologies(["Edema", name])


@pytest.mark.parametrize("names", [["Mass", "Mass"], ["Mass", "mass"], ["STRASSE", "Straße"]])
def test_two_pathologies_of_one_name_are_refused(names: list[str]) -> None:
    with pytest.raises(UsageError, match="must differ"):
        check_pathologies(names)


def test_a_name_of_megabytes_is_refused_in_a_short_sentence() -> None:
    with pytest.raises(UsageError, match="cannot be used") as refusal:
        check_pathologies(["Mass" * 1_000_000])
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("key", ["real-0f", "gan10-lung_lesion-0000001"])
def test_keys(key: str) -> None:
    assert KEY.fullmatch(key)
    assert NAME.fullmatch(key)


@pytest.mark.parametrize("key", ["", "A", "a.b", "../a", "a b", "é", "a\n", "x" * 91])
def test_what_is_no_key(key: str) -> None:
    assert not KEY.fullmatch(key)


def test_a_patient_is_a_salted_hash() -> None:
    assert PATIENT.fullmatch("0123456789abcdef")
    assert not PATIENT.fullmatch("patient00001")
