"""Ray as an engine: a cluster that is there, or one of this machine for the time of a run.

Ray counts processors, graphics processors and memory of its nodes, so `@resources` is passed on as it is. It makes
`CUDA_VISIBLE_DEVICES` for a call that asks for graphics processors, which the agent and its tasks inherit.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import ExecutorError, UsageError
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.known_workers import KnownWorkers, WorkerFacts, within
from gitflowrun.runtime.executors.engines.placed_calls import GIVEN_UP, PlacedCalls, reason_of
from gitflowrun.runtime.executors.engines.run_agent import run_agent
from gitflowrun.runtime.ipc.addresses import LOOPBACK, is_loopback, parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitflowrun.runtime.executors.engine import OnEnd, Resources

_MEGABYTE = 1_000_000


class RayEngine:
    """Places agents on Ray's workers, each in a worker process.

    Args:
        address: Of the cluster, such as `auto` on one of its machines; None for a cluster of this machine.
        slots: For that one: processors that it is to have.
        on_end: See `Engine`.
        program: See `run_agent`.

    Raises:
        ExecutorError: Ray is not installed, or does not answer there.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None,
        slots: int,
        on_end: OnEnd,
        program: Sequence[str] | None = None,
    ) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise ExecutorError(
                f"Ray can't be used: {error}", hint="pip install 'gitflowrun[ray]'"
            ) from error
        self._ray = ray
        self._calls = PlacedCalls(on_end)
        self._program = program
        try:
            _see_whether_somebody_listens(address)
            if address is None:
                _start_here(ray, slots)
            else:
                within(engine_limits.ENGINE_START, lambda: _join(ray, address))
            self._remote = ray.remote(max_retries=0)(run_agent)
            self._workers = KnownWorkers(self._ask)
            self._address = str(ray.get_runtime_context().gcs_address)
            own = str(ray.util.get_node_ip_address())
        except Exception as error:
            ray.shutdown()
            raise _no_cluster(address, error) from error
        self.host = LOOPBACK if address is None else None if is_loopback(own) else own

    def _ask(self) -> WorkerFacts:
        resources = {name: float(count) for name, count in self._ray.cluster_resources().items()}
        count = sum(1 for node in self._ray.nodes() if node.get("Alive"))
        return WorkerFacts(count, resources)

    def start(self, number: int, call: bytes, resources: Resources) -> None:
        """Have an agent placed."""
        self._calls.begin(number)
        try:
            remote = self._remote.options(
                num_cpus=resources.cpu,
                num_gpus=resources.gpu or None,
                memory=int(resources.memory * _MEGABYTE) or None,
                name=f"gitflowrun agent {number}",
            )
            ref = remote.remote(call, self._program)
            future = ref.future()
        except Exception as error:  # noqa: BLE001  (Ray raises whatever its connections do)
            self._calls.end(number, reason_of(error))
            return
        self._calls.place(number, ref)
        future.add_done_callback(lambda done: self._ended(number, done))

    def _ended(self, number: int, future: Any) -> None:
        try:
            reason = future.result()
        except self._ray.exceptions.TaskCancelledError:
            reason = GIVEN_UP
        except BaseException as error:  # noqa: BLE001  (likewise)
            reason = reason_of(error)
        self._calls.end(number, reason)

    def cancel(self, number: int) -> None:
        """Give a call up."""
        ref = self._calls.future(number)
        if ref is not None:
            with contextlib.suppress(Exception):
                self._ray.cancel(ref)
            self._calls.end(number, GIVEN_UP)

    def where(self) -> str:
        """The cluster's address and how many nodes it has."""
        count = self._workers.facts.workers
        return f"{self._address}, {count} node{'' if count == 1 else 's'}"

    def close(self) -> None:
        """Leave the cluster; end it if it was made for this run."""
        self._workers.close()
        with contextlib.suppress(Exception):
            self._ray.shutdown()


def _start_here(ray: Any, slots: int) -> None:
    """Start a cluster on this machine."""
    ray.init(
        address="local",
        num_cpus=slots,
        include_dashboard=False,
        logging_level=logging.CRITICAL,
        log_to_driver=False,
    )


def _join(ray: Any, address: str) -> None:
    """Become a client of a cluster that is there."""
    ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)


def _see_whether_somebody_listens(address: str | None) -> None:
    """Raise OSError where nobody listens at an address: Ray itself tries for minutes."""
    try:
        host, port = parse_address((address or "auto").rpartition("://")[2])
    except UsageError:
        return
    if port:
        socket.create_connection((host, port), engine_limits.ENGINE_PATIENCE).close()


def _no_cluster(address: str | None, error: Exception) -> ExecutorError:
    if address is None:
        return ExecutorError(
            f"Ray has not started on this machine: {reason_of(error)}",
            hint="`python -c 'import ray; ray.init()'` shows more",
        )
    return ExecutorError(
        f"no Ray cluster can be used at {address}: {reason_of(error)}",
        hint="start the run on one of its machines (`ray start` makes this one join) and use ray:auto, or the address "
        "that `ray start --head` has told; versions of Ray and Python must be the same",
    )
