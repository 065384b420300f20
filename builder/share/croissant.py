"""`croissant.json`: a release for machines, in the vocabulary of Croissant 1.1.

It lists the shards and the parquet with their sha256, and joins each image to its labels by key,
so that a reader of Croissant gives both in one record.
"""

import json
from collections.abc import Mapping, Sequence

from builder.contract import Manifest
from builder.draw import slug
from builder.share.publisher import Publisher
from builder.share.sources import source_facts
from builder.store.sending import Outgoing

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_RESERVED = ("key", "image", "index-key", "target")  # names of fields that are no pathologies


def croissant_json(
    manifest: Manifest, publisher: Publisher, shards: Sequence[Outgoing], parquet: Outgoing
) -> bytes:
    """The file; `shards` are the tars of synthetic images, `parquet` their index."""
    record = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest.name,
        "description": description(manifest),
        "license": publisher.licence.url or publisher.licence.name,
        "url": publisher.url or f"urn:sha256:{manifest.digest}",
        "creator": {"@type": "sc:Organization", "name": publisher.creator},
        "datePublished": publisher.date,
        "version": publisher.version,
        "keywords": ["chest x-ray", "synthetic", "class imbalance", "data augmentation"],
        "isLiveDataset": False,
        "citeAs": citation(manifest, publisher),
        **_responsible(manifest, publisher),
        "distribution": _distribution(manifest, shards, parquet),
        "recordSet": [_samples(manifest)],
    }
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def citation(manifest: Manifest, publisher: Publisher) -> str:
    """How the release is cited, in BibTeX: as the publisher asks, or by what is known of it."""
    if publisher.cite:
        return publisher.cite
    fields = {
        "author": f"{{{publisher.creator}}}",
        "title": publisher.title or manifest.name,
        "year": publisher.date[:4],
        "version": publisher.version,
        "note": f"Synthetic chest radiographs, sha256 {manifest.digest}",
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items()]
    return f"@misc{{{manifest.name},\n" + ",\n".join(lines) + "\n}"


def field_names(pathologies: Sequence[str]) -> tuple[str, ...]:
    """The name of each pathology's field in the records: plain, and each a different one."""
    names: list[str] = []
    for pathology in pathologies:
        plain = slug(pathology)
        taken = plain in _RESERVED or plain in names
        names.append(f"{plain}-{len(names)}" if taken else plain)
    return tuple(names)


def description(manifest: Manifest) -> str:
    """One sentence that says what a release is."""
    count = sum(s.nsamples for s in manifest.shardlist if s.origin == "synthetic")
    facts = source_facts(manifest.dataset)
    where = f" of {facts.name}" if facts else ""
    return (
        f"{count:,} synthetic chest radiographs that lift {', '.join(manifest.targets)} to a share "
        f"of {_share(manifest)} of a training set{where}. No real image is included."
    )


def _share(manifest: Manifest) -> str:
    assert manifest.plan is not None, "a release has synthetic images, and these follow a plan"
    numerator, denominator = manifest.plan.share
    return f"{100 * numerator / denominator:g} %"


def _responsible(manifest: Manifest, publisher: Publisher) -> Mapping[str, object]:
    """Where the data come from, what they are for and where they fail."""
    facts = source_facts(manifest.dataset)
    generator = manifest.generator or {}
    limits = [
        "Images of a generator: they look like radiographs and show no patient.",
        "The labels are those that the generator was asked for; nobody read the images.",
        publisher.limitations,
    ]
    return {
        "rai:dataCollectionType": ["Synthetic"],
        "rai:dataUseCases": [publisher.intended_use],
        "rai:dataLimitations": [text for text in limits if text],
        "rai:dataBiases": [
            "The generator and the label vectors inherit the population and the label errors of "
            "their source."
        ],
        "rai:personalSensitiveInformation": [
            "No real image, no number of a patient, no age. A generator may repeat images that it "
            "was trained on."
        ],
        "prov:wasDerivedFrom": facts.reference if facts else f"label table {_table(manifest)}",
        "prov:wasGeneratedBy": f"{generator.get('name')}, sha256 {generator.get('sha256')}",
    }


def _table(manifest: Manifest) -> str:
    return f"sha256 {manifest.source.get('labels_sha256', 'unknown')}"


def _distribution(
    manifest: Manifest, shards: Sequence[Outgoing], parquet: Outgoing
) -> list[Mapping[str, object]]:
    kind = {"@type": "cr:FileObject", "encodingFormat": "application/x-tar"}
    return [
        *({**kind, **_file(shard, f"shard-{i:05d}")} for i, shard in enumerate(shards)),
        {
            "@type": "cr:FileSet",
            "@id": "images",
            "name": "images",
            "description": "The image members of the shards.",
            "containedIn": [{"@id": f"shard-{i:05d}"} for i in range(len(shards))],
            "encodingFormat": "image/png" if manifest.image.codec == "png" else "image/jpeg",
            "includes": f"*.{manifest.image.codec}",
        },
        {
            "@type": "cr:FileObject",
            "encodingFormat": "application/x-parquet",
            **_file(parquet, "index"),
        },
    ]


def _file(listed: Outgoing, name: str) -> Mapping[str, object]:
    return {
        "@id": name,
        "name": listed.path.rpartition("/")[2],
        "contentUrl": listed.path,
        "contentSize": f"{listed.size} B",
        "sha256": listed.sha256,
    }


def _samples(manifest: Manifest) -> Mapping[str, object]:
    """The record of an image with its labels."""
    key = {
        **_field("key", "The name of the sample.", "sc:Text"),
        "source": {
            "fileSet": {"@id": "images"},
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": rf"([^\/]*)\.{manifest.image.codec}"},
        },
        "references": {"fileObject": {"@id": "index"}, "extract": {"column": "key"}},
    }
    image = {
        **_field("image", "8-bit grey pixels.", "sc:ImageObject"),
        "source": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "content"}},
    }
    labels = [
        _column(name, f"{name}: 1 present, 0 absent, -1 unknown.", "sc:Integer", field)
        for name, field in zip(manifest.pathologies, field_names(manifest.pathologies), strict=True)
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "key": {"@id": "samples/key"},
        "field": [
            key,
            image,
            _column("key", "The name of the sample in the index.", "sc:Text", "index-key"),
            _column("target", "The pathology that it was rendered for.", "sc:Text", "target"),
            *labels,
        ],
    }


def _column(column: str, text: str, kind: str, name: str) -> Mapping[str, object]:
    return {
        **_field(name, text, kind),
        "source": {"fileObject": {"@id": "index"}, "extract": {"column": column}},
    }


def _field(name: str, text: str, kind: str) -> Mapping[str, object]:
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
    }
