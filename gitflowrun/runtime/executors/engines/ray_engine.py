"""Ray as an engine: a cluster that is there, or one of this machine for the time of a run.

Ray counts processors, graphics processors and memory of its nodes, so `@resources` is passed on as it is. It makes
`CUDA_VISIBLE_DEVICES` for a call that asks for graphics processors, which the agent and its tasks inherit.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

from gitflowrun.errors import ExecutorError, UsageError
from gitflowrun.runtime.executors.engines import engine_limits
from gitflowrun.runtime.executors.engines.cluster_engine import ClusterEngine
from gitflowrun.runtime.executors.engines.known_workers import WorkerFacts, within
from gitflowrun.runtime.executors.engines.placed_calls import GIVEN_UP, reason_of
from gitflowrun.runtime.executors.engines.run_agent import run_agent
from gitflowrun.runtime.ipc.addresses import parse_address

if TYPE_CHECKING:
    from gitflowrun.runtime.executors.engine import Resources

_MEGABYTE = 1_000_000


class RayEngine(ClusterEngine):
    """Places agents on Ray's workers, each in a worker process."""

    name = "ray"
    title = "Ray"
    module = "ray"
    worker = "node"

    def _join(self, library: Any, address: str | None, slots: int) -> str:
        self._ray = library
        _see_whether_somebody_listens(address)
        if address is None:
            _start_here(library, slots)
        else:
            within(engine_limits.ENGINE_START, lambda: _connect(library, address))
        self._remote = library.remote(max_retries=0)(run_agent)
        return str(library.get_runtime_context().gcs_address)

    def _own_host(self) -> str | None:
        return str(self._ray.util.get_node_ip_address())

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

    def _leave(self) -> None:
        with contextlib.suppress(Exception):
            self._ray.shutdown()

    def _unusable(self, address: str | None, error: Exception) -> ExecutorError:
        if address is None:
            return ExecutorError(
                f"Ray has not started on this machine: {reason_of(error)}",
                hint="`python -c 'import ray; ray.init()'` shows more",
            )
        return ExecutorError(
            f"no Ray cluster can be used at {address}: {reason_of(error)}",
            hint="start the run on one of its machines (`ray start` makes this one join) and use ray:auto, or the "
            "address that `ray start --head` has told; versions of Ray and Python must be the same",
        )


def _start_here(ray: Any, slots: int) -> None:
    """Start a cluster on this machine."""
    ray.init(
        address="local",
        num_cpus=slots,
        include_dashboard=False,
        logging_level=logging.CRITICAL,
        log_to_driver=False,
    )


def _connect(ray: Any, address: str) -> None:
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
