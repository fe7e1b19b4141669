"""`@kubernetes` and `@batch`: where Metaflow would run a step. They are accepted and recorded; steps run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.flow.decorators.base import StepDecorator
from gitflowrun.flow.decorators.declare import StepDeclaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

_COMMON: dict[str, Any] = {
    "cpu": 1, "gpu": None, "memory": 4096, "image": None, "shared_memory": None, "tmpfs_path": None,
    "tmpfs_size": None, "tmpfs_tempdir": True, "use_tmpfs": None, "inferentia": None, "trainium": None, "efa": None,
    "executable": None,
}  # fmt: skip


class _Cluster(StepDecorator):
    """A decorator that names a cluster."""

    def notice(self) -> str:
        """What the user should know."""
        return f"@{self.name} is recorded: its steps run on this machine, as all others."


class KubernetesDecorator(_Cluster):
    """Say how a step would run on Kubernetes. It is recorded; the step runs on this machine.

    Args:
        cpu: Cores.
        memory: Memory, in megabytes.
        gpu: Graphics processors.
        **others: Those of Metaflow's decorator, such as `image`, `disk`, `namespace` and `secrets`.
    """

    name = "kubernetes"
    defaults: ClassVar[Mapping[str, Any]] = {
        **_COMMON,
        **dict.fromkeys(
            (
                "annotations", "compute_pool", "disk", "gpu_vendor", "hostname_resolution_timeout", "image_pull_policy",
                "image_pull_secrets", "labels", "namespace", "node_selector", "persistent_volume_claims", "port", "qos",
                "secrets", "security_context", "service_account", "tolerations",
            )
        ),
    }  # fmt: skip


class BatchDecorator(_Cluster):
    """Say how a step would run on AWS Batch. It is recorded; the step runs on this machine.

    Args:
        cpu: Cores.
        memory: Memory, in megabytes.
        gpu: Graphics processors.
        **others: Those of Metaflow's decorator, such as `image`, `queue` and `iam_role`.
    """

    name = "batch"
    defaults: ClassVar[Mapping[str, Any]] = {
        **_COMMON,
        **dict.fromkeys(
            (
                "aws_batch_tags", "ephemeral_storage", "execution_role", "host_volumes", "efs_volumes", "iam_role",
                "log_driver", "log_options", "max_swap", "num_parallel", "privileged", "queue", "swappiness",
            )
        ),
    }  # fmt: skip


batch = StepDeclaration(BatchDecorator)
kubernetes = StepDeclaration(KubernetesDecorator)
