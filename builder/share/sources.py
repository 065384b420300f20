"""What is published about the datasets that real images come from → SourceFacts.

A reader of a card asks where and when the patients were seen, who labelled, and what may be done.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """A source of real images, in the words of its own publication."""

    name: str
    population: str  # where and when the patients were seen
    labels: str  # who or what assigned them
    reference: str


_NIH_POPULATION = "NIH Clinical Center, Bethesda, USA; seen from 1992 to 2015."
_NIH_REFERENCE = "Wang et al., ChestX-ray8, CVPR 2017; https://nihcc.app.box.com/v/ChestXray-NIHCC"

_FACTS = {
    "chexpert": SourceFacts(
        name="CheXpert",
        population="Stanford Hospital, California, USA; in- and outpatients, October 2002 to "
        "July 2017.",
        labels="Mined by rules from the radiologists' reports; a label may be uncertain.",
        reference="Irvin et al., CheXpert, AAAI 2019; https://stanfordmlgroup.github.io/"
        "competitions/chexpert/",
    ),
    "nih": SourceFacts(
        name="NIH ChestX-ray14",
        population=_NIH_POPULATION,
        labels="Mined by text analysis from the radiologists' reports; its authors expect them "
        "to be right in more than 90 % of the cases.",
        reference=_NIH_REFERENCE,
    ),
    "mimic": SourceFacts(
        name="MIMIC-CXR",
        population="Beth Israel Deaconess Medical Center, Boston, USA; emergency department, "
        "2011 to 2016.",
        labels="Mined by rules (CheXpert or NegBio) from the radiologists' reports; a label may be "
        "uncertain.",
        reference="Johnson et al., MIMIC-CXR-JPG, 2019; https://physionet.org/content/"
        "mimic-cxr-jpg/",
    ),
    "padchest": SourceFacts(
        name="PadChest",
        population="Hospital San Juan, Alicante, Spain; 2009 to 2017.",
        labels="27 % of the reports were labelled by physicians; the others by a network trained "
        "on these.",
        reference="Bustos et al., PadChest, Medical Image Analysis 2020; https://bimcv.cipf.es/"
        "bimcv-projects/padchest/",
    ),
    "vindr": SourceFacts(
        name="VinDr-CXR",
        population="Hospital 108 and Hanoi Medical University Hospital, Vietnam; 2018 to 2020.",
        labels="By radiologists: three for each training image, five in consensus for each test "
        "image.",
        reference="Nguyen et al., VinDr-CXR, Scientific Data 2022; https://physionet.org/content/"
        "vindr-cxr/",
    ),
    "brax": SourceFacts(
        name="BRAX",
        population="Hospital Israelita Albert Einstein, São Paulo, Brazil.",
        labels="Mined by rules from the reports in Portuguese; a label may be uncertain.",
        reference="Reis et al., BRAX, Scientific Data 2022; https://physionet.org/content/brax/",
    ),
    "rsna": SourceFacts(
        name="RSNA Pneumonia Detection Challenge",
        population=_NIH_POPULATION + " A selection from NIH ChestX-ray8.",
        labels="By radiologists, who marked opacities that suggest pneumonia.",
        reference="Shih et al., Radiology: Artificial Intelligence 2019; https://www.rsna.org/",
    ),
    "demo": SourceFacts(
        name="the demo of cxr-rebalance",
        population="No patients: the images that take the place of real ones are drawn by a "
        "program, after labels like CheXpert's.",
        labels="Those that the program was asked to draw.",
        reference="https://stanfordmlgroup.github.io/competitions/chexpert/ (labels)",
    ),
}


def counted(value: object) -> str:
    """A number that a manifest may say of its source, in words before `images` or `patients`."""
    return f"{value:,}" if isinstance(value, int) else "an unknown number of"


def source_facts(dataset: str) -> SourceFacts | None:
    """What is published about a kind of label table; None for a table of the user's own."""
    return _FACTS.get(dataset)
