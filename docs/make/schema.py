"""docs/schema/*.json: the JSON Schemas of the files on disk, from the records that read them.

python docs/make/schema.py
"""

import json
from pathlib import Path

import msgspec

from builder.contract import Manifest
from builder.contract.audit import Audit
from builder.contract.weights import WeightsHeader

FOLDER = Path(__file__).parents[1] / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: dict[str, tuple[type, str, bool]] = {  # file: record, title, whether other fields may be
    "manifest": (Manifest, "manifests/NAME.json of schema 2", False),
    "audit": (Audit, "audits/NAME.audit.json", False),
    "weights": (WeightsHeader, "the header of best.safetensors", True),
}


def schema_text(name: str) -> str:
    """The text of schema/NAME.json."""
    record, title, open_ended = RECORDS[name]
    schema = msgspec.json.schema(record)
    for definition in schema["$defs"].values():
        if said := definition.get("description"):
            definition["description"] = " ".join(said.split())
        if not open_ended and "properties" in definition:  # no other fields, as its reader has it
            definition["additionalProperties"] = False
    return json.dumps({"$schema": DIALECT, "title": title, **schema}, indent=2) + "\n"


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name in RECORDS:
        (FOLDER / f"{name}.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
