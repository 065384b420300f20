import json
from dataclasses import replace

from builder.contract import Sample


def test_a_json_member_is_what_json_would_write() -> None:
    names = ("Mass", '50 % "new"', "épaississement")
    sample = Sample(
        key="x-1",
        split="train",
        origin="synthetic",
        target=names[1],
        draw=7,
        patient="",
        labels=(1, 0, -1),
    )
    record = {field: getattr(sample, field) for field in ("key", "split", "origin", "target")}
    record |= {"draw": 7, "labels": dict(zip(names, sample.labels, strict=True))}
    member = json.dumps(record, separators=(",", ":")).encode()
    assert sample.to_json(names) == member
    assert replace(sample, view="pa", sex="male", age="80-").to_json(names) == member
