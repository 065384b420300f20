"""What was found → one Markdown page and one JSON file."""

import json
from dataclasses import asdict

SHOWN = {True: "passed", False: "**failed**", None: ""}


def write(folder, checks, gpu):
    """gpu.md and gpu.json; `checks` are (name, seconds, memory or None, findings)."""
    folder.mkdir(parents=True, exist_ok=True)
    record = [
        {"check": name, "seconds": round(seconds, 1), "gpu_mb": memory,
         "findings": [asdict(finding) for finding in findings]}
        for name, seconds, memory, findings in checks
    ]  # fmt: skip
    (folder / "gpu.json").write_text(json.dumps({"gpu": gpu, "checks": record}, indent=2) + "\n")
    (folder / "gpu.md").write_text("\n".join(lines(checks, gpu)) + "\n")


def lines(checks, gpu):
    """The page."""
    everything = [finding for *_, findings in checks for finding in findings]
    failed = sum(finding.passed is False for finding in everything)
    left = sum(not finding.ran for finding in everything)
    yield "# What was checked on a GPU" if gpu else "# The checks of a GPU, run without one"
    yield ""
    yield "Written by `make gpu`, which replaces it."
    yield (
        f"{len(everything)} lines: {failed} failed, {left} not run"
        + ("." if gpu else ", because there was no GPU: **nothing here says how a GPU does**.")
    )
    for name, seconds, memory, findings in checks:
        used = f", at most {memory:,} MB of the GPU's memory" if memory else ""
        yield from ("", f"## {name}", "", f"{seconds:.0f} s{used}.", "")
        yield from ("| | found | |", "|---|---|---|")
        tables = []
        for finding in findings:
            found = finding.found
            if "\n" in found:
                tables.append(finding)
                found = "below"
            verdict = SHOWN[finding.passed] if finding.ran else "not run"
            yield f"| {cell(finding.line)} | {cell(found)} | {verdict} |"
        for finding in tables:
            yield from ("", f"`{finding.line}`", "", "```", finding.found, "```")


def cell(text):
    return text.replace("|", "\\|")
