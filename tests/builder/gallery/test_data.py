import json
from base64 import b64decode
from dataclasses import replace

import numpy as np

from builder.audit.pictures import Sealed
from builder.contract.audit import Audit
from builder.gallery.data import data_of, names_of, script
from builder.gallery.samples import samples_of
from builder.gallery.sheets import tiling


def bits(text: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(b64decode(text), np.uint8), bitorder="little")[:count] == 1


def test_labels_and_columns_can_be_read_again(opened: Sealed) -> None:
    rows = samples_of(opened, synthetic_only=False)
    data = data_of(opened, rows, tiling(opened.manifest.image, len(rows)), None)
    labels = opened.index.labels[rows]
    for p in range(labels.shape[1]):
        assert (bits(data.present[p], len(rows)) == (labels[:, p] == 1)).all()
        unknown = labels[:, p] == -1
        assert bool(data.unknown[p]) == unknown.any()
        if data.unknown[p]:
            assert (bits(data.unknown[p], len(rows)) == unknown).all()
    assert any(data.unknown)
    assert [column.name for column in data.columns] == ["origin", "split", "target", "view"]
    for column in data.columns:
        found = [column.words[number] for number in b64decode(column.data)]
        assert found == getattr(opened.index, column.name)[rows].tolist()
    assert data.columns[0].words == ("synthetic", "real")
    assert data.real


def test_keys_and_draws_can_be_read_again(opened: Sealed) -> None:
    rows = samples_of(opened, synthetic_only=False)
    names = names_of(opened, rows)
    assert names.keys.split("\n") == opened.index.key[rows].tolist()
    draws = np.frombuffer(b64decode(names.draws), "<i4")
    assert (draws == opened.index.draw[rows]).all()


def test_phantoms_are_no_images_of_patients(opened: Sealed) -> None:
    rows = samples_of(opened, synthetic_only=False)
    demo = replace(opened.manifest, source={"dataset": "demo"})
    sealed = Sealed(manifest=demo, root=opened.root, index=opened.index)
    data = data_of(sealed, rows, tiling(demo.image, len(rows)), None)
    assert (data.demo, data.real) == (True, False)


def test_suspects_are_numbers_of_samples(opened: Sealed, audited: Audit) -> None:
    rows = samples_of(opened, synthetic_only=False)
    data = data_of(opened, rows, tiling(opened.manifest.image, len(rows)), audited)
    assert data.audit is not None
    assert audited.copies is not None
    keys = opened.index.key[rows]
    copies = [(keys[pair.sample], pair.of, pair.similarity) for pair in data.audit.copies]
    first, second = audited.copies.listed
    assert copies == [(first.key, keys.tolist().index(first.of), 0.99), (second.key, -1, 0.95)]
    assert (data.audit.suspects, data.audit.summary) == (3, audited.summary)


def test_nothing_of_a_real_image_is_told_without_them(opened: Sealed, audited: Audit) -> None:
    rows = samples_of(opened, synthetic_only=True)
    data = data_of(opened, rows, tiling(opened.manifest.image, len(rows)), audited)
    text = (script("A", data) + script("B", names_of(opened, rows))).decode()
    real = opened.index.origin == "real"
    assert not [key for key in opened.index.key[real] if key in text]
    assert not [each for each in opened.index.patient[real] if each in text]
    assert (data.real, data.training.real, data.training.both) == (False, None, None)
    assert [column.name for column in data.columns] == ["origin", "target"]
    assert data.audit is not None
    assert [pair.of for pair in data.audit.copies] == [-1, -1]


def test_a_script_sets_one_variable_and_words_stay_words(opened: Sealed, audited: Audit) -> None:
    rows = samples_of(opened, synthetic_only=False)
    odd = replace(audited, summary=("</script><b>\u2028'\"`${1}",))
    data = data_of(opened, rows, tiling(opened.manifest.image, len(rows)), odd)
    text = script("GALLERY", data).decode()
    assert text.startswith("const GALLERY = {")
    assert text.endswith("};\n")
    found = json.loads(text.removeprefix("const GALLERY = ").removesuffix(";\n"))
    assert found["audit"]["summary"] == [*odd.summary]
    assert found["digest"] == opened.manifest.digest
