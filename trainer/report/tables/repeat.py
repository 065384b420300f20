"""The table of all that is needed to make a report again: digests, commands, versions."""

import json
from collections.abc import Mapping, Sequence

from trainer.report.single_run import Facts
from trainer.report.tables.cells import DASH, Row, Table, starts


def repeat(datasets: Sequence[Facts], facts: Facts) -> Table:
    """What each dataset, run and the report were made with; a run is at the dataset it saw."""
    rows = list[Row]()
    for dataset in datasets:
        name, generator, source = dataset["name"], dataset["generator"], dataset["source"]
        made_with = {
            "manifest, sha256": dataset["digest"],
            "recipe": json.dumps(dataset["build"]),
            "generator": generator.get("name"),
            "generator, sha256": generator.get("sha256"),
            "label table": source.get("dataset"),
            "label table, sha256": source.get("labels_sha256"),
        }
        rows += [(name, what, str(value or DASH)) for what, value in made_with.items()]
        for arm in dataset["arms"]:
            for run in () if arm["lent_by"] else arm["runs"]:
                about = f"{name}, {arm['title']}, seed {run['seed']}"
                rows.append((about, "command", run["command"]))
                rows += [
                    (about, f"{file}, sha256", digest) for file, digest in run["sha256"].items()
                ]
                if start := run["config"].get("init_sha256"):
                    rows.append((about, "first weights, sha256", start))
                rows.append((about, "software", _software(run["software"])))
    rows += [
        ("report", "command", facts["command"]),
        ("report", "software", _software(facts["software"])),
    ]
    return Table(
        key="repeat",
        title="To repeat it",
        columns=("of", "what", ""),
        align="llm",
        rows=tuple(rows),
        note="The sha256 of a manifest names exactly its dataset, shards included.",
        starts=starts(rows),
    )


def _software(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
