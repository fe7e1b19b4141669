"""Dask as an engine: a cluster that is there, or one of this machine for the time of a run.

Dask knows threads of workers, of which an agent takes one, and abstract resources, which workers announce as they like
(`dask worker --resources "GPU=2,MEMORY=100e9"`). Of what `@resources` says, `gpu` is asked for as GPU, `memory` as
MEMORY in bytes and `cpu`, where it is more than one, as CPU: each if any worker announces it, for nothing would ever
run otherwise.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import uuid
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import ExecutorError, UsageError
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.cluster_engine import ClusterEngine
from gitflowrun.runtime.executors.engines.known_workers import WorkerFacts, within
from gitflowrun.runtime.executors.engines.placed_calls import GIVEN_UP, reason_of
from gitflowrun.runtime.executors.engines.run_agent import run_agent
from gitflowrun.runtime.ipc.addresses import LOOPBACK, address_towards, parse_address

if TYPE_CHECKING:
    from gitflowrun.runtime.executors.engine import Resources

_MEGABYTE = 1_000_000


class DaskEngine(ClusterEngine):
    """Places agents on Dask's workers, each in a thread of its worker."""

    name = "dask"
    title = "Dask"
    module = "distributed"
    worker = "worker"
    _cluster: Any = None
    _client: Any = None

    def _join(self, library: Any, address: str | None, slots: int) -> str:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self._run = uuid.uuid4().hex
        if address is None:
            self._cluster = _own_cluster(library, slots)
        self._client = within(
            engine_limits.ENGINE_START,
            lambda: library.Client(
                self._cluster or address,
                timeout=engine_limits.ENGINE_PATIENCE,
                set_as_default=False,
                name="gitflowrun",
            ),
        )
        return str(self._client.scheduler.address)

    def _own_host(self) -> str | None:
        return _host_towards(self._address)

    def _ask(self) -> WorkerFacts:
        workers = _all_workers(self._client)
        resources: dict[str, float] = {}
        for worker in workers:
            for name, count in (worker.get("resources") or {}).items():
                resources[name] = max(resources.get(name, 0), count)
        return WorkerFacts(len(workers), resources)

    def start(self, number: int, call: bytes, resources: Resources) -> None:
        """Have an agent placed."""
        self._calls.begin(number)
        try:
            future = self._client.submit(
                run_agent,
                call,
                self._program,
                key=f"gitflowrun-agent-{self._run}-{number}",
                pure=False,
                retries=0,
                resources=self._wanted(resources),
            )
        except Exception as error:  # noqa: BLE001  (Dask raises whatever its connections do)
            self._calls.end(number, reason_of(error))
            return
        self._calls.place(number, future)
        future.add_done_callback(lambda done: self._ended(number, done))

    def _wanted(self, resources: Resources) -> dict[str, float] | None:
        wanted = {
            "GPU": resources.gpu,
            "CPU": resources.cpu if resources.cpu > 1 else 0,
            "MEMORY": resources.memory * _MEGABYTE,
        }
        announced = self._workers.facts.resources
        return {
            name: count for name, count in wanted.items() if count and name in announced
        } or None

    def _ended(self, number: int, future: Any) -> None:
        """Take the end of a call, in Dask's thread for that."""
        if not self._calls.is_wanted(number):
            return
        try:
            if future.status == "cancelled":
                reason = GIVEN_UP
            elif future.status == "error":
                reason = reason_of(future.exception(timeout=engine_limits.ENGINE_PATIENCE))
            else:
                reason = future.result(timeout=engine_limits.ENGINE_PATIENCE)
        except BaseException as error:  # noqa: BLE001  (likewise)
            reason = reason_of(error)
        self._calls.end(number, reason)

    def cancel(self, number: int) -> None:
        """Give a call up: Dask forgets what nobody waits for."""
        future = self._calls.future(number)
        if future is not None:
            self._calls.end(number, GIVEN_UP)
            future.release()

    def _leave(self) -> None:
        for part in (self._client, self._cluster):
            if part is not None:
                with contextlib.suppress(Exception):
                    part.close(timeout=engine_limits.ENGINE_END)

    def _unusable(self, address: str | None, error: Exception) -> ExecutorError:
        if address is None:
            return ExecutorError(
                f"Dask's cluster on this machine has not started: {reason_of(error)}",
                hint="`python -c 'from distributed import LocalCluster; LocalCluster()'` shows more",
            )
        return ExecutorError(
            f"no Dask scheduler can be used at {address}: {reason_of(error)}",
            hint="start one by `dask scheduler`, and workers by `dask worker ADDRESS`; versions of Dask and Python "
            "must be alike",
        )


def _all_workers(client: Any) -> list[dict[str, Any]]:
    """What a client's scheduler says of each of its workers; newer versions tell of five unless all are asked for."""
    asks = "n_workers" in inspect.signature(client.scheduler_info).parameters
    info = client.scheduler_info(n_workers=-1) if asks else client.scheduler_info()
    return [*info["workers"].values()]


def _own_cluster(distributed: Any, slots: int) -> Any:
    """A cluster of one worker, whose threads do nothing but wait for their agents."""
    return distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=slots,
        processes=True,
        host=LOOPBACK,
        dashboard_address=None,
        worker_dashboard_address=None,
        silence_logs=logging.CRITICAL,
        memory_limit=0,  # of the worker, which needs none: agents are processes of their own
        resources={"GPU": gpus} if (gpus := len(_own_gpus())) else None,
    )


def _own_gpus() -> list[str]:
    """The graphics processors of this machine that programs may use."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [it for it in allowed.split(",") if it.strip()]
    with contextlib.suppress(OSError):
        return [it for it in os.listdir("/dev") if it.startswith("nvidia") and it[6:].isdigit()]  # noqa: PTH208
    return []


def _host_towards(address: str) -> str | None:
    """The address of this machine on the way to a scheduler; None where its address does not tell."""
    try:
        host, _ = parse_address(address.rpartition("://")[2])
    except UsageError:
        return None
    return address_towards(host)
