"""What was found → one Markdown page and one JSON file."""

import json
from dataclasses import asdict, dataclass

from scene import Finding

SHOWN = {True: "passed", False: "**failed**", None: ""}


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one check found, and what it took."""

    name: str
    about: str  # what it does and why
    seconds: float
    core_seconds: float  # of all cores
    gpu_mb: int | None  # the most memory of the GPU in use
    findings: list[Finding]


def write_part(file, finding):
    """Add a finding to a file, for the process that asked for it."""
    with file.open("a") as lines_so_far:
        print(json.dumps(asdict(finding)), file=lines_so_far)


def read_part(file):
    """The findings in such a file."""
    return [Finding(**json.loads(line)) for line in file.read_text().splitlines()]


def write(folder, checks, gpu):
    """gpu.md and gpu.json."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"gpu": gpu, "checks": [asdict(check) for check in checks]}
    for check in record["checks"]:
        check["seconds"], check["core_seconds"] = (
            round(check[each], 1) for each in ("seconds", "core_seconds")
        )
    (folder / "gpu.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    (folder / "gpu.md").write_text("\n".join(lines(checks, gpu)) + "\n")


def lines(checks, gpu):
    """The page."""
    everything = [finding for check in checks for finding in check.findings]
    failed = sum(finding.passed is False for finding in everything)
    left = sum(not finding.ran for finding in everything)
    busy, took = (sum(getattr(each, f) for each in checks) for f in ("core_seconds", "seconds"))
    yield "# What was checked on a GPU" if gpu else "# The checks of a GPU, run without one"
    yield ""
    yield "Written by `make gpu`, which replaces it; the same as JSON is in [gpu.json](gpu.json)."
    yield (
        f"{len(everything)} lines: {failed} failed, {left} not run"
        + ("." if gpu else ", because there was no GPU: **nothing here says how a GPU does**.")
    )
    yield f"It took {took:.0f} s, in which cores worked {busy:.0f} s."
    if not gpu:
        yield "Figures of speed are of a run in small, on a machine that others may have used, too."
    yield from table(checks)
    for check in checks:
        yield from section(check)


def table(checks):
    """One line for each check."""
    yield from ("", "| check | failed | not run | lines |", "|---|---:|---:|---:|")
    for check in checks:
        failed = sum(finding.passed is False for finding in check.findings)
        left = sum(not finding.ran for finding in check.findings)
        yield f"| {check.name} | {failed} | {left} | {len(check.findings)} |"


def section(check):
    """The findings of a check; long ones below its table."""
    used = f", at most {check.gpu_mb:,} MB of the GPU's memory" if check.gpu_mb else ""
    took = f"{check.seconds:.0f} s, of cores {check.core_seconds:.0f} s{used}"
    yield from ("", f"## {check.name}", "", check.about, "")
    yield f"`python benchmarks/gpu/run.py --check {check.name}`: {took}."
    yield from ("", "| | found | |", "|---|---|---|")
    long = [finding for finding in check.findings if "\n" in finding.found]
    for finding in check.findings:
        verdict = SHOWN[finding.passed] if finding.ran else "not run"
        found = "below" if finding in long else finding.found
        yield f"| {cell(finding.line)} | {cell(found)} | {verdict} |"
    for finding in long:
        yield from ("", f"`{finding.line}`", "", "```", finding.found, "```")


def cell(text):
    return text.replace("|", "\\|")
