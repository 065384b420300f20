"""The five sentences, in each case that there is."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from builder.audit.summary import findings, is_found, summarise
from builder.contract.audit import Audit, Copies, Interval, Planted, Rare

WORD = re.compile(r"[A-Za-z][\w’-]*")
TOPICS = ("Quality", "Labels", "Shortcuts", "Copies", "Limits")


def said(audit: Audit, topic: str) -> tuple[str, str]:
    """The status and the sentence on a topic."""
    found = findings(audit)[TOPICS.index(topic)]
    assert found.topic == topic
    return found.status, found.sentence


def every_case(audit: Audit) -> Iterator[Audit]:
    """Audits with and without each part, good and bad."""
    assert audit.quality is not None
    assert audit.shortcuts is not None
    good = replace(audit.quality, figures=(replace(audit.quality.figures[0], differs=False),))
    bad_label = replace(audit.agreement[0], target="Edema", disagrees=True)
    for quality, agreement, shortcuts, copies, nearness, rare in product(
        (None, good, audit.quality),
        ((), audit.agreement, (bad_label,), (*audit.agreement, bad_label)),
        (None, audit.shortcuts, replace(audit.shortcuts, told=True)),
        (None, audit.copies, honest(audit)),
        (None, audit.nearness),
        (None, audit.rare),
    ):
        yield replace(
            audit,
            quality=quality,
            agreement=agreement,
            shortcuts=shortcuts,
            copies=copies,
            nearness=nearness,
            rare=rare,
        )


def honest(audit: Audit) -> Copies:
    assert audit.copies is not None
    return replace(audit.copies, suspects=0, listed=(), duplicates=0, duplicates_listed=())


def test_five_sentences_in_every_case(audit: Audit) -> None:
    for each in every_case(audit):
        sentences = summarise(each)
        assert len(sentences) == 5
        for sentence in sentences:
            assert sentence[0].isupper() or sentence[0].isdigit()
            assert sentence.endswith(".")
            assert ". " not in sentence
            assert "  " not in sentence
            assert len(WORD.findall(sentence)) <= 40
            assert "private" not in sentence.casefold()
            assert "anonym" not in sentence.casefold()


def test_quality_names_the_figures_that_are_worse(audit: Audit) -> None:
    assert audit.quality is not None
    status, sentence = said(audit, "Quality")
    assert status == "look at this"
    assert "in 1 of 1 figures of quality: distance (KID)." in sentence
    figure = audit.quality.figures[0]
    equal = replace(audit.quality, figures=(replace(figure, differs=False),))
    status, sentence = said(replace(audit, quality=equal), "Quality")
    assert status == "as real images"
    assert "in none of 1 figures" in sentence
    alone = replace(audit.quality, figures=(replace(figure, floor=None, differs=False),))
    for nothing in (None, alone):
        status, sentence = said(replace(audit, quality=nothing), "Quality")
        assert status == "not tested"
        assert "too few real images" in sentence


def test_labels_that_the_classifier_does_not_find_are_named(audit: Audit) -> None:
    status, sentence = said(audit, "Labels")
    assert status == "as real images"
    assert "Mass (AUC 0.500 against 0.500 on real images)" in sentence
    low = Interval(value=0.3, low=0.2, high=0.4)
    bad = replace(audit.agreement[0], target="Edema", synthetic=low, real=None, disagrees=True)
    status, sentence = said(replace(audit, agreement=(*audit.agreement, bad)), "Labels")
    assert status == "look at this"
    assert "Edema (AUC 0.300), where 0.5 is chance, but finds Mass as well." in sentence
    status, sentence = said(replace(audit, agreement=()), "Labels")
    assert status == "not tested"
    assert sentence.endswith("was not tested: the notes of this audit say why.")


def test_a_target_of_too_few_real_images_is_not_said_to_be_hardly_found(audit: Audit) -> None:
    rare = replace(audit.agreement[0], target="Edema", tells=False, real=None)
    status, sentence = said(replace(audit, agreement=(rare,)), "Labels")
    assert status == "not tested"
    assert sentence.endswith("was not tested: there are too few real images with Edema.")
    blind = replace(audit.agreement[0], tells=False)
    _, sentence = said(replace(audit, agreement=(blind, rare)), "Labels")
    assert sentence.endswith(
        "Mass too rarely in real images, and there are too few real images with Edema."
    )


def test_nothing_follows_from_a_classifier_that_is_blind(audit: Audit) -> None:
    blind = replace(audit.agreement[0], target="Edema", tells=False)
    status, sentence = said(replace(audit, agreement=(blind,)), "Labels")
    assert status == "not tested"
    assert "the classifier finds Edema too rarely in real images." in sentence
    status, sentence = said(replace(audit, agreement=(*audit.agreement, blind)), "Labels")
    assert status == "as real images"
    assert sentence.endswith(", and of Edema nothing can be said.")


def test_a_shortcut_is_named_with_what_gives_it_away(audit: Audit) -> None:
    assert audit.shortcuts is not None
    status, sentence = said(audit, "Shortcuts")
    assert status == "as real images"
    assert "hardly tells" in sentence
    assert "(AUC 0.500 (0.400 to 0.600), 0.500 with both blurred; 0.5 is chance)" in sentence
    told = replace(audit.shortcuts, told=True)
    status, sentence = said(replace(audit, shortcuts=told), "Shortcuts")
    assert status == "look at this"
    assert "most easily by sharpness" in sentence
    none = replace(told, clues=())
    assert "most easily" not in said(replace(audit, shortcuts=none), "Shortcuts")[1]
    for nothing in (None, replace(told, origin=())):
        assert said(replace(audit, shortcuts=nothing), "Shortcuts")[0] == "not tested"


def test_the_treatment_none_is_told_first(audit: Audit) -> None:
    assert audit.shortcuts is not None
    plain, blurred = audit.shortcuts.origin
    plain = replace(plain, auc=Interval(value=0.9, low=0.8, high=1.0))
    turned = replace(audit.shortcuts, origin=(blurred, plain))
    assert "(AUC 0.900 (" in said(replace(audit, shortcuts=turned), "Shortcuts")[1]


def test_what_is_left_after_treatment_is_a_span(audit: Audit) -> None:
    assert audit.shortcuts is not None
    plain, blurred = audit.shortcuts.origin
    rough = replace(blurred, treatment="re-encoded", auc=Interval(value=0.994, low=0.98, high=1.0))
    three = replace(audit.shortcuts, origin=(plain, blurred, rough))
    sentence = said(replace(audit, shortcuts=three), "Shortcuts")[1]
    assert ", 0.500 to 0.994 with both blurred or re-encoded; 0.5 is chance)" in sentence
    alone = replace(audit.shortcuts, origin=(plain,))
    assert "with both" not in said(replace(audit, shortcuts=alone), "Shortcuts")[1]


def test_suspects_are_counted_beside_honest_images_that_would_be_accused(audit: Audit) -> None:
    status, sentence = said(audit, "Copies")
    assert status == "look at this"
    assert sentence.startswith("2 of 400 synthetic images are suspected copies")
    assert "as 1 of 100 real images of other patients would be" in sentence
    assert (
        "(1 of 2 kinds of planted copies are found in 95 %, but inversion often missed)" in sentence
    )
    assert sentence.endswith("; 1 repeats an earlier one.")
    assert audit.copies is not None
    one = replace(audit, copies=replace(audit.copies, suspects=1, duplicates=2))
    assert said(one, "Copies")[1].startswith("1 of 400 synthetic images is a suspected copy")
    assert "; 2 repeat an earlier one." in said(one, "Copies")[1]


def test_no_suspects_is_said_with_what_the_detector_misses(audit: Audit) -> None:
    status, sentence = said(replace(audit, copies=honest(audit)), "Copies")
    assert status == "as real images"
    assert sentence.startswith("None of 400 synthetic images is a suspected copy of a training")
    assert sentence.endswith("but inversion often missed).")
    repeated = replace(honest(audit), duplicates=1)
    assert said(replace(audit, copies=repeated), "Copies")[0] == "look at this"
    untested = replace(honest(audit), planted=())
    assert said(replace(audit, copies=untested), "Copies")[1].endswith("a training image.")
    assert said(replace(audit, copies=None), "Copies")[0] == "not tested"


@pytest.mark.parametrize(("planted", "found", "claimed"), [(100, 95, True), (100, 94, False)])
def test_a_kind_is_claimed_from_95_per_cent(planted: int, found: int, claimed: bool) -> None:
    assert is_found(Planted(kind="jpeg", planted=planted, found=found)) is claimed
    assert not is_found(Planted(kind="jpeg", planted=0, found=0))


def test_the_limits_are_always_said(audit: Audit) -> None:
    for each in every_case(audit):
        assert "Distances between images do not measure membership risk" in said(each, "Limits")[1]
    sentence = said(audit, "Limits")[1]
    assert "50.0 % (40.0 to 60.0) are nearer to training than to held-out images" in sentence
    assert "3 have labels that fewer than 5 patients share" in sentence
    one = replace(audit, nearness=None, rare=Rare(fewer_than=5, vectors=1, synthetic=1, listed=()))
    assert said(one, "Limits")[1].endswith("(1 has labels that fewer than 5 patients share).")
    none = replace(audit, nearness=None, rare=None)
    assert said(none, "Limits")[1].endswith("the generator was trained on.")
