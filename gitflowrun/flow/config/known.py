"""The configs of a run in one of its processes: made known to the flow's class, and as bytes for other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitflowrun.artifacts.config_value import wrapped
from gitflowrun.flow.config.declaration import declaration_of, known_configs, set_known
from gitflowrun.flow.members import configs_by_name, configs_of, parameters_of
from gitflowrun.limits import RECORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 4 * RECORD_SIZE
"""The most bytes of a config as it is stored: each process of the run has it. Numbers take more than in their file."""
_CODEC = "plain/1"


def apply_configs(flow_cls: type, values: Mapping[str, Any]) -> None:
    """Make the configs of a flow known in this process, and evaluate the parameters that are made of them.

    Args:
        flow_cls: The flow.
        values: The configs as plain data, by attribute.

    Raises:
        ConfigError: an expression of a parameter can't be evaluated.
        ParameterError: with what it is evaluated to, a parameter can't be.
    """
    known = {}
    for attribute, config in configs_of(flow_cls).items():
        value = values.get(attribute)
        known[attribute] = value if declaration_of(config).plain else wrapped(value)
    set_known(flow_cls, known)
    configs = visible_configs(flow_cls)
    for parameter in parameters_of(flow_cls).values():
        parameter.evaluate(configs)


def visible_configs(flow_cls: type) -> dict[str, Any]:
    """The configs of a flow that are known, as expressions see them: by attribute and by name."""
    known = known_configs(flow_cls)
    return {**known, **configs_by_name(flow_cls)}


def pack_configs(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Configs as bytes, by attribute, for messages to other processes.

    Raises:
        Unencodable: one is, or holds, something that is no plain value.
    """
    from gitflowrun.artifacts.codecs.plain_encode import encode_plain

    return {name: b"".join(encode_plain([value])) for name, value in values.items()}


def unpack_configs(packed: Mapping[str, bytes]) -> dict[str, Any]:
    """The configs that `pack_configs` has packed."""
    from gitflowrun.artifacts import codecs

    return {name: codecs.decode(_CODEC, it, trusted=True)[0] for name, it in packed.items()}
