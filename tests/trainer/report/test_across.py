import json
from dataclasses import asdict

import pytest

from builder.contract import CheckError
from builder.contract.record import as_record
from trainer.report.across import DoseCurve, DosePoint, Variant


def test_records_come_back_from_json_and_a_wrong_field_is_named() -> None:
    point = DosePoint(
        dataset="a", share=0.05, synthetic=7, value=0.1, low=None, high=None, holm=None,
        verdict="one seed",
    )  # fmt: skip
    curve = DoseCurve(about="a", pathology="Mass", arm="gan", control="none", points=(point,))
    variant = Variant(
        dataset="b", arm="gan", differs=("vectors alone",), reference="a", pathology="Mass",
        missing="too few",
    )  # fmt: skip
    for record in (curve, variant):
        facts = json.loads(json.dumps(asdict(record)))
        assert as_record(facts, type(record), "it") == record
        facts["pathology"] = 3
        with pytest.raises(CheckError, match="at pathology"):
            as_record(facts, type(record), "it")
