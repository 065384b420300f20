from builder.labels import CHEXPERT, NIH, canonical, find_pathology


def test_names_meet_under_one_spelling() -> None:
    assert canonical("Pleural_Thickening") == canonical("pleural thickening")
    assert find_pathology("Pleural Effusion", NIH) == "Effusion"
    assert find_pathology("No Finding", NIH) == "No_Finding"
    assert find_pathology("Pulmonary fibrosis", NIH) == "Fibrosis"  # as VinDr-CXR says
    assert find_pathology("Mass", CHEXPERT) is None
