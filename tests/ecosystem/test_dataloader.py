"""PyTorch's DataLoader on forkful's contexts. Only where torch is installed: see CONTRIBUTING.md."""

from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing import resource_sharer
from typing import Any

import pytest

from tests.contract.children import LONG, running
from tests.ecosystem.conftest import Run

torch = pytest.importorskip("torch")
data = torch.utils.data

pytestmark = pytest.mark.limit(120)  # a spawned worker imports torch


class Squares(data.Dataset):  # type: ignore[misc, name-defined]
    """Item n is n * n and the process that made it."""

    def __init__(self, length: int, fail_at: int = -1) -> None:
        self.length = length
        self.fail_at = fail_at

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, n: int) -> Any:
        if n == self.fail_at:
            raise LookupError(f"no item {n}")
        return torch.full((3, 4), n * n), os.getpid()


class Counted(data.IterableDataset):  # type: ignore[misc, name-defined]
    """Each worker gives its share."""

    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        return iter(range(info.id, 20, info.num_workers))


def loader(ctx: Any, dataset: Any, **options: Any) -> Any:
    return data.DataLoader(
        dataset, batch_size=4, num_workers=2, multiprocessing_context=ctx, **options
    )


def expected(length: int) -> Any:
    return torch.stack([torch.full((3, 4), n * n) for n in range(length)])


def received(batches: Any) -> tuple[Any, set[int]]:
    """All items, and who made them."""
    tensors, pids = zip(*batches, strict=True)
    return torch.cat(tensors), {int(pid) for some in pids for pid in some}


def test_batches_come_in_order_from_the_workers(ctx: Any) -> None:
    items, pids = received(loader(ctx, Squares(50), pin_memory=False))
    assert torch.equal(items, expected(50))
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_its_workers_and_their_queues_are_forkfuls(ctx: Any) -> None:
    batches = iter(loader(ctx, Squares(20)))
    next(batches)
    for worker in batches._workers:
        assert type(worker).__module__.startswith("forkful")
    assert type(batches._worker_result_queue).__module__ == "forkful.queues"


def test_persistent_workers_serve_several_epochs(ctx: Any) -> None:
    batches = loader(ctx, Squares(20), persistent_workers=True)
    first, one = received(batches)
    second, other = received(batches)
    assert torch.equal(first, second)
    assert one == other


def test_shuffled_and_iterable_datasets(fork: Any) -> None:
    torch.manual_seed(1)
    items, _ = received(loader(fork, Squares(50), shuffle=True))
    assert not torch.equal(items, expected(50))
    assert torch.equal(items.sort(dim=0).values, expected(50))
    counted = [int(n) for batch in loader(fork, Counted()) for n in batch]
    assert sorted(counted) == list(range(20))


def test_what_a_worker_raises_reaches_the_parent_and_it_goes_on(ctx: Any) -> None:
    batches = iter(loader(ctx, Squares(20, fail_at=9), prefetch_factor=1))
    got = [next(batches), next(batches)]
    with pytest.raises(LookupError, match="no item 9"):
        next(batches)
    got += [next(batches), next(batches)]
    assert [int(tensor[0, 0, 0]) for tensor, _ in got] == [0, 16, 144, 256]


DEATH = """
import os, signal, sys
import torch.utils.data
import forkful

class Deadly(torch.utils.data.Dataset):
    def __len__(self):
        return 20
    def __getitem__(self, n):
        if n == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

if __name__ == "__main__":
    ctx = forkful.get_context(sys.argv[1])
    # No tensors: to receive one, its sender must still live.
    print(*torch.utils.data.DataLoader(
        Deadly(), collate_fn=list, num_workers=2, multiprocessing_context=ctx
    ))
"""


def test_a_killed_worker_is_an_error_of_the_loaders_own(
    run_program: Run, start_method: str
) -> None:
    """torch raises it in a signal handler, which may be anywhere: a program of its own."""
    ended = run_program(DEATH, start_method, status=1)
    assert "RuntimeError: DataLoader worker (pid" in ended.stderr


def test_an_abandoned_iteration_leaves_nothing(ctx: Any) -> None:
    """The kit looks for what is left."""
    for n, _ in enumerate(loader(ctx, Squares(400))):
        if n == 2:
            break


def give_back(source: Any, target: Any) -> None:
    while (tensor := source.get()) is not None:
        tensor += 1  # in shared memory: the parent sees it, too
        target.put(tensor)
    target.put(None)


def test_tensors_in_a_queue_are_shared_as_torch_has_it(
    ctx: Any, request: pytest.FixtureRequest
) -> None:
    there, back = ctx.Queue(), ctx.Queue()
    request.addfinalizer(resource_sharer.stop)  # torch sends the memory's descriptor by it
    with running(ctx, give_back, there, back):
        tensor = torch.zeros(1000)
        there.put(tensor)
        assert torch.equal(back.get(timeout=LONG), torch.ones(1000))
        assert torch.equal(tensor, torch.ones(1000))
        there.put(None)
        assert back.get(timeout=LONG) is None
