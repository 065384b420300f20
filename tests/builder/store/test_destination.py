import pickle

import pytest

from builder.contract import UsageError
from builder.store.bucket import BucketTarget
from builder.store.destination import destination_of
from builder.store.hub import HubTarget


def test_each_scheme_has_what_takes_its_files() -> None:
    place = destination_of("s3://bucket/set/")
    assert place.url == "s3://bucket/set"
    assert isinstance(place.open(), BucketTarget)
    hub = destination_of("hf://datasets/chest/set")
    assert isinstance(pickle.loads(pickle.dumps(hub)).open(), HubTarget)


def test_keys_in_a_url_are_not_shown() -> None:
    place = destination_of("s3://key:se/cret@bucket/set")
    assert place.shown == "s3://bucket/set"
    assert place.open().shown == "s3://bucket/set"


def test_a_repository_is_named_whole() -> None:
    with pytest.raises(UsageError, match="names no dataset on the Hub"):
        destination_of("hf://datasets/chest").open()


@pytest.mark.parametrize("url", ["https://host/a", "file:///a", "s3:///", "hf://a::b", "gs://b?c"])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no place to build into"):
        destination_of(url)
