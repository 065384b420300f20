"""The documents of a release: README.md, the card that people read first, and LICENSE.md.

The card answers what a reviewer of a medical dataset asks (Schwabe et al. 2024; STANDING Together
2024) in words that a physician reads without this project. The front matter is the Hub's.
"""

import json
from collections.abc import Iterator, Sequence

from builder.contract import Manifest
from builder.contract.audit import Audit
from builder.share.audited import audit_part
from builder.share.card_parts import (
    generator_part,
    images_part,
    limits_part,
    prevalence_part,
    source_part,
    split_part,
    terms_part,
    use_part,
)
from builder.share.croissant import description
from builder.share.licences import OTHER
from builder.share.publisher import Publisher
from builder.share.summary import Summary

_TAGS = (
    *("webdataset", "medical", "chest-x-ray", "radiology", "synthetic", "mlcroissant"),
    *("data-augmentation", "class-imbalance"),
)
_SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)  # bounds of the Hub's categories
_UNITS = ("K", "K", "K", "M", "M")


def card_text(
    manifest: Manifest,
    publisher: Publisher,
    summary: Summary,
    paths: Sequence[str],
    audit: Audit | None = None,
) -> str:
    """README.md; `paths` are the release's other documents and tables, `audit` the dataset's."""
    parts = [
        [f"# {publisher.title or manifest.name}", description(manifest), _warning()],
        images_part(manifest, publisher, summary),
        use_part(manifest, paths),
        prevalence_part(summary),
        generator_part(manifest, summary, paths),
        source_part(manifest, publisher, summary),
        split_part(manifest),
        audit_part(audit),
        limits_part(publisher),
        terms_part(manifest, publisher),
    ]
    body = "\n\n".join(text for part in parts for text in part)
    return f"{_front_matter(manifest, publisher, summary)}\n{body}\n"


def licence_text(publisher: Publisher) -> str:
    """LICENSE.md."""
    licence = publisher.licence
    link = f" ({licence.url})" if licence.url else ""
    lines = [
        f"# {licence.name}",
        f"{publisher.creator} gives the synthetic images and the tables of this release under "
        f"{licence.name}{link}.",
        publisher.license_text,
        "## The source of the real images",
        "No real image is part of this release. The real images that the generator and the label "
        f"vectors come from were received under these terms:\n\n{publisher.source_terms}",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def size_category(images: int) -> str:
    """The Hub's word for a number of images."""
    names = [f"{bound // (1000 if unit == 'K' else 10**6)}{unit}" for bound, unit in _bounds()]
    place = sum(images >= bound for bound in _SIZES)
    if place == 0:
        return f"n<{names[0]}"
    if place == len(names):
        return f"n>{names[-1]}"
    return f"{names[place - 1]}<n<{names[place]}"


def _bounds() -> Iterator[tuple[int, str]]:
    return zip(_SIZES, _UNITS, strict=True)


def _front_matter(manifest: Manifest, publisher: Publisher, summary: Summary) -> str:
    """The Hub's metadata; every text is quoted, so that no word of it becomes a field."""
    licence = publisher.licence
    named = {"license_name": licence.name} if licence.id == OTHER else {}
    gated = {"extra_gated_prompt": publisher.gated} if publisher.gated else {}
    fields: dict[str, object] = {
        "pretty_name": publisher.title or manifest.name,
        "license": licence.id,
        **named,
        "license_link": "LICENSE.md",
        "tags": list(_TAGS),
        "annotations_creators": ["machine-generated"],
        "task_categories": ["image-classification"],
        "task_ids": ["multi-label-image-classification"],
        "size_categories": [size_category(summary.synthetic)],
        **gated,
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.tar"}],
            }
        ],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def _warning() -> str:
    return (
        "**Not for diagnosis.** Each image was made by a program; none was taken of a patient. "
        "The labels say what the program was asked for; nobody has read the images."
    )
