"""Everything on disk: names, shapes, and the checks of whatever a stranger may have written.

Builder and trainer share this room and `builder.store`, and nothing else. Nothing here runs a
command, unpickles, follows a path out of the dataset's root, or decodes more pixels than the
manifest's geometry allows. Every refusal is one sentence.

    root/manifests/gan10.json       Manifest, written last: it exists = the dataset is complete
    root/manifests/gan10.parquet    Index, one row per sample; view, sex, age band where known
                                    and a sketch of the image
    root/shards/.../train-00000-of-00006.tar (+ .idx)    samples (tar, shard): image and JSON
    run/best.safetensors            a classifier (weights)

`record` reads JSON, `new_file` writes, `lock` makes a folder one process's own, `errors` is the
tree of refusals.
"""

from builder.contract.errors import (
    CheckError,
    Refusal,
    Stopped,
    UsageError,
    in_short,
    printable,
)
from builder.contract.image import ImageSpec, decode_image, image_decoder
from builder.contract.index import Index, Labels, index_bytes, index_root, load_index
from builder.contract.manifest import (
    MAX_SHARDS,
    IndexEntry,
    Manifest,
    PlanProof,
    TargetCount,
    load_manifest,
    save_manifest,
)
from builder.contract.names import (
    GROUPS,
    KEY,
    ORIGINS,
    PATIENT,
    SCHEMA,
    SPLITS,
    Origin,
    Split,
    check_pathologies,
)
from builder.contract.new_file import write_last
from builder.contract.paths import (
    check_url,
    dataset_root,
    resolve,
    sha256_bytes,
    sha256_file,
)
from builder.contract.png import Bytes
from builder.contract.shard import (
    MAX_JSON_BYTES,
    MAX_SAMPLES,
    Sample,
    ShardEntry,
    check_bytes,
    check_shard,
    open_shard,
)
from builder.contract.sketch import sketch_distance, sketch_of

__all__ = [
    "GROUPS",
    "KEY",
    "MAX_JSON_BYTES",
    "MAX_SAMPLES",
    "MAX_SHARDS",
    "ORIGINS",
    "PATIENT",
    "SCHEMA",
    "SPLITS",
    "Bytes",
    "CheckError",
    "ImageSpec",
    "Index",
    "IndexEntry",
    "Labels",
    "Manifest",
    "Origin",
    "PlanProof",
    "Refusal",
    "Sample",
    "ShardEntry",
    "Split",
    "Stopped",
    "TargetCount",
    "UsageError",
    "check_bytes",
    "check_pathologies",
    "check_shard",
    "check_url",
    "dataset_root",
    "decode_image",
    "image_decoder",
    "in_short",
    "index_bytes",
    "index_root",
    "load_index",
    "load_manifest",
    "open_shard",
    "printable",
    "resolve",
    "save_manifest",
    "sha256_bytes",
    "sha256_file",
    "sketch_distance",
    "sketch_of",
    "write_last",
]
