"""A pass over the stream that is broken off continues exactly."""

import json
import os
import pickle
from itertools import islice
from typing import Any

import pytest
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from builder.contract import CheckError, UsageError
from trainer.stream.loader import StreamDataset
from trainer.stream.order import cut

# torchdata calls a function of torch that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")

BATCH = 16


@pytest.mark.parametrize("batch", [None, BATCH])
def test_resume_at_every_step_gives_the_unbroken_order(
    make: Any, epochs: list[list[str]], batch: int | None, keys_of: Any
) -> None:
    dataset, later = make(batch=batch), make(batch=batch)
    dataset.set_epoch(1)
    running, seen = iter(dataset), 0
    while True:
        later.load_state_dict(json.loads(json.dumps(dataset.state_dict())))
        later.set_epoch(later.epoch)  # as loops do at the beginning of an epoch
        step = None if seen % 5 == 0 or batch else 3  # whole rests take long, sample by sample
        assert keys_of(islice(later, step)) == epochs[1][seen:][:step]
        if (item := next(running, None)) is None:
            break
        seen += len(keys_of([item]))
    assert seen == len(epochs[1])
    assert keys_of(later) == epochs[1]  # the pass after a resume is a whole one
    later.set_epoch(2)
    assert keys_of(later) == epochs[2]


def test_resume_with_another_number_of_ranks(
    make: Any, epochs: list[list[str]], keys_of: Any
) -> None:
    first = [make(batch=BATCH, share=(rank, 2)) for rank in range(2)]
    before = [key for dataset in first for key in keys_of(islice(iter(dataset), 3))]
    states = [dataset.state_dict() for dataset in first]
    assert states[0] == states[1]
    rest = []
    for rank in range(3):
        dataset = make(batch=BATCH, share=(rank, 3))
        dataset.load_state_dict(states[0])
        rest += keys_of(dataset)
    assert sorted(before + rest) == sorted(epochs[0])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 4])
def test_torchdatas_loader_resumes_exactly(
    make: Any, epochs: list[list[str]], workers: int, done: int, keys_of: Any
) -> None:
    def loader() -> tuple[StreamDataset, Any]:
        dataset = make(batch=BATCH, threads=1)
        return dataset, StatefulDataLoader(dataset, batch_size=None, num_workers=workers)

    dataset, running = loader()
    dataset.set_epoch(1)
    before = keys_of(islice(iter(running), done))
    state = pickle.loads(pickle.dumps(running.state_dict()))
    dataset, resumed = loader()
    resumed.load_state_dict(state)
    dataset.set_epoch(1)
    assert before + keys_of(resumed) == epochs[1]
    dataset.set_epoch(2)
    assert keys_of(resumed) == epochs[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_torchdatas_loader_resumes_after_the_end_of_an_epoch(
    make: Any, epochs: list[list[str]], keys_of: Any, workers: int
) -> None:
    running = StatefulDataLoader(make(batch=BATCH), batch_size=None, num_workers=workers)
    assert keys_of(running) == epochs[0]
    dataset = make(batch=BATCH)
    resumed = StatefulDataLoader(dataset, batch_size=None, num_workers=workers)
    resumed.load_state_dict(running.state_dict())
    dataset.set_epoch(1)
    assert keys_of(resumed) == epochs[1]


def test_a_place_that_only_workers_know_is_not_made_up(
    make: Any, epochs: list[list[str]], keys_of: Any
) -> None:
    dataset = make(batch=BATCH, threads=1)
    running = iter(DataLoader(dataset, batch_size=None, num_workers=1))
    next(running)
    del running
    with pytest.raises(UsageError, match="torchdata's StatefulDataLoader and its state_dict"):
        dataset.state_dict()
    assert keys_of(dataset) == epochs[0]
    assert dataset.state_dict()["position"] == len(epochs[0])


def test_a_place_that_workers_do_not_use_up_is_not_used_again_and_again(
    make: Any, epochs: list[list[str]], keys_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make(batch=BATCH)
    next(iter(dataset))
    later = make(batch=BATCH)
    later.load_state_dict(dataset.state_dict())
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        with pytest.raises(UsageError, match="The place was loaded outside of the worker"):
            iter(later)
    assert keys_of(later) == epochs[0][cut(129, BATCH)[0].stop :]


def test_a_state_of_something_else_is_refused(make: Any, keys_of: Any) -> None:
    state = make(batch=BATCH).state_dict()
    for other in (make(batch=BATCH, seed=1), make("val", batch=BATCH), make(origin="real")):
        with pytest.raises(UsageError, match="another order of images"):
            other.load_state_dict(state)
    dataset = make(batch=BATCH)
    with pytest.raises(UsageError, match="Position 3 lies inside a batch of 16"):
        dataset.load_state_dict(state | {"position": 3})
    with pytest.raises(CheckError, match="at image 1000 of an epoch of 129"):
        dataset.load_state_dict(state | {"position": 1000})
    for bad in ({}, state | {"epoch": -1}, state | {"more": 1}, {**state, "position": "3"}):
        with pytest.raises(CheckError, match="The state of the stream"):
            dataset.load_state_dict(bad)
    assert keys_of(dataset) == keys_of(make(batch=BATCH))
