from dataclasses import replace

from builder.contract import Index, Manifest
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
from builder.share.publisher import Publisher
from builder.share.summary import GroupShare, Prevalence, Reuse, Summary, summarise

SUMMARY = Summary(
    real=200,
    synthetic=50,
    held_out=20,
    packed=True,
    prevalence=(
        Prevalence(pathology="Mass", target=True, real=12, synthetic=40, patients=10),
        Prevalence(pathology="Edema", target=False, real=None, synthetic=3),
    ),
    reuse=(Reuse(target="Mass", images=50, vectors=4, most=30),),
    groups=(
        GroupShare(group="view", word="pa", images=120, patients=60),
        GroupShare(group="view", word="lateral", images=80, patients=40),
        GroupShare(group="sex", word="female", images=80, patients=40),
        GroupShare(group="sex", word="male", images=117, patients=90),
        GroupShare(group="sex", word="", images=3, patients=2),
    ),
)


def test_prevalence_before_and_after() -> None:
    text = "\n".join(prevalence_part(SUMMARY))
    assert "| **Mass** | 12 | 6.0 % | 40 | 52 | 20.8 % |" in text
    assert "| Edema | – | – | 3 | – | – |" in text
    assert "does not know how often" in text


def test_a_group_of_few_patients_is_not_counted(manifest: Manifest, publisher: Publisher) -> None:
    text = "\n".join(source_part(manifest, publisher, SUMMARY))
    assert "| view | lateral | 80 | 40.0 % | 32.0 % |" in text
    assert "| sex | unknown | not told | – | – |" in text
    assert "| sex | female | not told | – | – |" in text  # or the sum would tell the unknown
    assert "| sex | male | 117 | 58.5 % | 46.8 % |" in text
    assert "Numbers of fewer than 10 persons" in text
    plain = replace(SUMMARY, groups=SUMMARY.groups[:2])
    assert "Numbers of" not in "\n".join(source_part(manifest, publisher, plain))


def test_persons_are_counted_not_images(manifest: Manifest, publisher: Publisher) -> None:
    words = [("pa", 100, 50), ("ap", 60, 9), ("lateral", 40, 12)]
    groups = tuple(GroupShare(group="view", word=w, images=n, patients=p) for w, n, p in words)
    told = replace(SUMMARY, groups=groups)
    text = "\n".join(source_part(manifest, publisher, told))
    assert "| view | ap | not told | – | – |" in text
    assert "| view | lateral | not told | – | – |" in text  # or the sum would tell the first
    assert "| view | pa | 100 | 50.0 % | 40.0 % |" in text


def test_a_pathology_of_few_persons_is_not_counted() -> None:
    few = (
        Prevalence(pathology="Mass", target=True, real=30, synthetic=40, patients=9),
        Prevalence(pathology="Hernia", target=True, real=9, synthetic=40),
        Prevalence(pathology="Edema", target=False, real=0, synthetic=3, patients=0),
    )
    text = "\n".join(prevalence_part(replace(SUMMARY, prevalence=few)))
    assert "| **Mass** | not told | – | 40 | not told | – |" in text
    assert "| **Hernia** | not told | – | 40 | not told | – |" in text  # as few images, or fewer
    assert "| Edema | 0 | 0.0 % | 3 | 3 | 1.2 % |" in text
    assert "Numbers of fewer than 10 persons are not given." in text
    assert "Numbers of" not in "\n".join(prevalence_part(SUMMARY))


def test_reuse_and_rejects_are_said(manifest: Manifest) -> None:
    generator = {**(manifest.generator or {}), "rejected": {"it is constant": 3}}
    text = "\n".join(generator_part(replace(manifest, generator=generator), SUMMARY, []))
    assert "| Mass | 50 | 4 | 30 |" in text
    assert "3 because it is constant" in text
    assert "was trained on nothing" in text
    own = replace(manifest, generator={**generator, "name": "pggan"})
    assert "the publisher does not say" in "\n".join(generator_part(own, SUMMARY, []))
    assert "generator.md" in "\n".join(generator_part(manifest, SUMMARY, ["generator.md"]))


def test_what_images_were_rendered_for_is_said(manifest: Manifest) -> None:
    def text(**recipe: str) -> str:
        changed = replace(manifest, recipe={**manifest.recipe, **recipe})
        return "\n".join(generator_part(changed, SUMMARY, []))

    real, alone = "that a real training image with that pathology has", "its pathology alone"
    assert real in text()
    assert alone not in text()
    assert real not in text(vectors="alone")
    assert alone in text(vectors="alone")
    assert all(words in text(vectors="alone, lp") for words in (real, alone))


def test_an_unknown_source_is_not_guessed(manifest: Manifest, publisher: Publisher) -> None:
    text = "\n".join(source_part(manifest, publisher, SUMMARY))
    assert "Patients: The publisher does not say." in text
    assert (
        "stays unknown; it is written as -1" in text
    )  # the clinic was built with --uncertain mask
    own = replace(publisher, source="A clinic in Graz, 2020.")
    assert "Patients: A clinic in Graz, 2020." in "\n".join(source_part(manifest, own, SUMMARY))
    nih = replace(manifest, source={**manifest.source, "dataset": "nih"})
    assert "1992 to 2015" in "\n".join(source_part(nih, publisher, SUMMARY))


def test_the_split_is_the_recipes(manifest: Manifest) -> None:
    assert "10 % for validation, 10 % for testing" in "\n".join(split_part(manifest))
    official = replace(manifest, recipe={**manifest.recipe, "split": "official"})
    assert "The official split of the source" in "\n".join(split_part(official))


def test_the_real_half_is_named_where_there_is_one(
    manifest: Manifest, index: Index, publisher: Publisher
) -> None:
    summary = summarise(manifest, index)
    assert "are listed in `real.parquet`" in "\n".join(images_part(manifest, publisher, summary))
    notes = {**manifest.source, "merged": [{"name": "a", "digest": "0" * 64}]}
    merged = replace(manifest, source=notes)
    assert "| made | merged from a (0000" in "\n".join(images_part(merged, publisher, summary))
    none = replace(summary, packed=False)
    assert "built without them" in "\n".join(images_part(manifest, publisher, none))
    assert "xbuild rebuild" in "\n".join(use_part(manifest, ["real.parquet"]))
    assert "has no real half" in "\n".join(use_part(manifest, []))


def test_only_what_was_built_from_a_table_is_said_to_be_rebuilt(manifest: Manifest) -> None:
    command = f"`xbuild rebuild manifests/{manifest.name}.json"
    assert command in use_part(manifest, ["real.parquet"])[-1]
    said = {"merged": "put them together by `xbuild merge`", "rebuilt_from": "cannot be rebuilt"}
    for kind, words in said.items():
        made = replace(manifest, source={**manifest.source, kind: [{"name": "a"}]})
        text = use_part(made, ["real.parquet"])[-1]
        assert words in text
        assert command not in text
        assert use_part(made, []) == use_part(manifest, [])


def test_limits_and_terms_keep_the_publishers_words(
    manifest: Manifest, publisher: Publisher
) -> None:
    said = replace(publisher, limitations="Hernia fails.", forbidden_use="No triage.")
    assert "Hernia fails." in limits_part(said)
    assert "Diagnosis" in limits_part(said)[3]
    assert limits_part(said)[3].endswith("No triage.")
    assert "Approved by: The publisher does not say." in "\n".join(terms_part(manifest, said))
