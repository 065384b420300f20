"""The words and numbers of an audit as people read them; unknown names are said as they are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.contract.audit import Interval

DASH = "–"  # where there is no figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A figure in a few words, and what it says."""

    title: str
    text: str


FIGURES: Mapping[str, Meaning] = {
    "kid": Meaning(
        title="distance (KID)",
        text="Distance between the two sets, each image described by numbers; 0 for equal sets.",
    ),
    "fid": Meaning(
        title="distance (FID)",
        text="The same, measured in another way; it grows where there are few images, so it can "
        "only be compared with its own floor.",
    ),
    "precision": Meaning(
        title="precision",
        text="Share of the synthetic images that lie where real images lie: high where each looks "
        "real.",
    ),
    "recall": Meaning(
        title="recall",
        text="Share of the real images that lie where synthetic images lie: low where kinds of "
        "real image are missing.",
    ),
    "density": Meaning(
        title="density",
        text="As precision, but outliers count less; real images have about 1.",
    ),
    "coverage": Meaning(
        title="coverage",
        text="Share of the real images that have a synthetic one close by: as recall, but outliers "
        "count less.",
    ),
    "ms_ssim": Meaning(
        title="sameness (MS-SSIM)",
        text="How alike two images with the same labels are, on average; 1 for equal images. "
        "Above the floor the generator has less variety than patients have.",
    ),
    "sharpness": Meaning(
        title="sharpness",
        text="How much detail images have. Another sharpness gives a synthetic image away.",
    ),
    "high_frequencies": Meaning(
        title="fine detail",
        text="Share of the finest detail in an image: less in blurred images, more in noisy ones.",
    ),
    "intensity": Meaning(title="brightness", text="Mean grey value."),
    "contrast": Meaning(title="contrast", text="How far grey values differ within an image."),
}
CLUES: Mapping[str, str] = {  # simple properties of an image
    "block_borders": "traces of JPEG's blocks",
    "mean_grey": "brightness",
    "border_grey": "grey at the border",
    "constant_border": "empty borders",
    "grey_levels": "number of grey levels",
    "missing_levels": "missing grey levels",
    "black": "share of black",
    "white": "share of white",
}
TREATMENTS: Mapping[str, str] = {
    "none": "as they are",
    "blurred": "both blurred",
    "re-encoded": "both encoded again",
    "rescaled": "both scaled down and up again",
}
_PLAINLY = (  # what a record calls by its exact term, and the same for a physician
    (r"; divided by their root mean square.*", ""),
    (
        r"\d+ principal components of the training images' pixels at (\d+×\d+), whitened",
        r"the patterns of light and dark in which training images differ most, at \1 pixels",
    ),
    (r"(\S+) of xtrain, .*, sha256:\w+", r"what the given classifier (\1) sees in an image"),
    (
        r"logistic regression, ([\d,]+) real images: gradients .*",
        r"a simple one, which looks at edges and learnt from \1 real images",
    ),
    (
        r"\d+ properties and the spectrum of blocks of 8×8 pixels; ",
        "simple properties such as sharpness, traces of JPEG, and ",
    ),
    (r"label vectors", "labels"),
)
_KINDS = {"ap": "AP", "pa": "PA", "80-": "80 and over"}  # as the index has them


def kind_of(word: str) -> str:
    """A view, sex, age band or source as people say it: AP, female, 20 to 40."""
    if re.fullmatch(r"\d+-\d+", word):
        return word.replace("-", " to ")
    return _KINDS.get(word, word)


def plainly(words: str) -> str:
    """What a record says that images were judged by, without terms of mathematics."""
    for exact, plain in _PLAINLY:
        words = re.sub(exact, plain, words)
    return words


def title_of(figure: str) -> str:
    """A figure or clue in a few words."""
    meaning = FIGURES.get(figure)
    return meaning.title if meaning else CLUES.get(figure, figure.replace("_", " "))


def meaning_of(figure: str) -> str:
    """What a figure says; "" where that is not known here."""
    meaning = FIGURES.get(figure)
    return meaning.text if meaning else ""


def number(value: float) -> str:
    """Three digits that matter, such as 0.0123, 0.500, 1.23 or 41."""
    size = abs(value)
    if size >= 100:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size > 1:
        text = f"{value:.2f}"
    elif size >= 0.1 or size < 1e-9:
        text = f"{value:.3f}"
    else:
        text = f"{value:.2g}" if size < 1e-4 else f"{value:.4f}"
    return text.replace("-", "−")


def interval(found: Interval | None) -> str:
    """Such as `0.812 (0.790 to 0.834)`."""
    if found is None:
        return DASH
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def percent(part: float, total: float) -> str:
    """Such as `12.5 %`, `100 %` only for all; a dash where there is nothing to divide by."""
    if not total:
        return DASH
    share = 100 * part / total
    if share in (0, 100):
        return f"{share:.0f} %"
    digits = 1 if share >= 1 else 2
    return f"{min(share, 99.9):.{digits}f} %"


def listed(words: Sequence[str], limit: int = 4) -> str:
    """Such as `a, b and c`; beyond the limit, how many more there are."""
    if len(words) > limit:
        words = [*words[:limit], f"{len(words) - limit} more"]
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def count(number_of: int, one: str, many: str = "") -> str:
    """Such as `1 image` or `4,159 images`."""
    return f"{number_of:,} {one if number_of == 1 else many or f'{one}s'}"
