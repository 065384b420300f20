from dataclasses import replace
from pathlib import Path

import numpy as np

from builder.contract import Index, Manifest
from builder.share.summary import origins, rejects, summarise


def test_the_counts_are_those_of_the_plan(manifest: Manifest, index: Index) -> None:
    summary = summarise(manifest, index)
    assert manifest.plan is not None
    assert (summary.real, summary.synthetic) == (manifest.plan.real, manifest.plan.synthetic)
    assert summary.held_out == int((index.split != "train").sum())
    of = {each.pathology: each for each in summary.prevalence}
    for target in manifest.plan.targets:
        each = of[target.pathology]
        assert each.target
        assert each.real == target.real_positives
        assert each.synthetic is not None
        assert each.real + each.synthetic == target.positives


def test_the_index_tells_the_other_pathologies(manifest: Manifest, index: Index) -> None:
    edema = {p.pathology: p for p in summarise(manifest, index).prevalence}["Edema"]
    column = index.labels[:, manifest.pathologies.index("Edema")] == 1
    real = (index.origin == "real") & (index.split == "train")
    assert edema.real == int((column & real).sum())
    assert edema.patients == len(set(index.patient[column & real])) < edema.real
    assert not edema.target


def test_without_the_index_the_targets_alone_are_known(manifest: Manifest, index: Index) -> None:
    bare, full = summarise(manifest, None), summarise(manifest, index)
    known = [each for each in bare.prevalence if each.real is not None]
    assert known == [replace(e, patients=None) for e in full.prevalence if e.target]
    assert bare.reuse == bare.groups == ()


def test_reuse_counts_the_images_of_each_label_vector(manifest: Manifest, index: Index) -> None:
    for each in summarise(manifest, index).reuse:
        own = index.labels[index.target == each.target]
        vectors = {tuple(row) for row in own.tolist()}
        assert (each.images, each.vectors) == (len(own), len(vectors))
        assert each.most == max(own.tolist().count(list(vector)) for vector in vectors)


def test_a_target_that_got_no_image_has_no_reuse(manifest: Manifest, index: Index) -> None:
    first = manifest.targets[0]
    none = replace(index, target=np.where(index.target == first, "", index.target))
    of = {each.target: each for each in summarise(manifest, none).reuse}
    assert (of[first].images, of[first].vectors, of[first].most) == (0, 0, 0)


def test_groups_are_those_of_the_real_training_images(manifest: Manifest, index: Index) -> None:
    groups = [each for each in summarise(manifest, index).groups if each.group == "view"]
    real = (index.origin == "real") & (index.split == "train")
    assert sum(each.images for each in groups) == int(real.sum())
    pa = next(each for each in groups if each.word == "pa")
    own = (np.asarray(index.view) == "pa") & real
    assert pa.images == int(own.sum())
    assert pa.patients == len(set(index.patient[own])) < pa.images


def test_a_set_without_a_real_half(nih_once: tuple[Manifest, Index, Path]) -> None:
    manifest, index, _ = nih_once
    summary = summarise(manifest, index)
    assert manifest.plan is not None
    assert not summary.packed
    assert summary.real == manifest.plan.real
    others = [each for each in summary.prevalence if not each.target]
    assert all(each.real is None for each in others)
    assert any(each.synthetic for each in others)


def test_what_it_was_made_from(manifest: Manifest) -> None:
    assert origins(manifest) == ""
    notes = [{"name": "a", "digest": "0" * 64}, {"name": "b", "digest": "1" * 64}]
    merged = replace(manifest, source={**manifest.source, "merged": notes})
    assert origins(merged) == "merged from a (000000000000), b (111111111111)"
    rebuilt = replace(manifest, source={**manifest.source, "rebuilt_from": notes[0]})
    assert origins(rebuilt).startswith("rebuilt from a (000000000000)")
    strange = replace(manifest, source={"rebuilt_from": "x"})
    assert origins(strange).startswith("rebuilt from an unknown one")


def test_rejects_are_told_unless_a_stranger_wrote_nonsense() -> None:
    assert rejects({"rejected": {"it is dark": 1200, "it is a copy": 3}}) == (
        "1,200 because it is dark, 3 because it is a copy"
    )
    for nonsense in ("many", {"x": "y"}, ["dark"], None):
        assert rejects({"rejected": nonsense}) == ""
