"""The messages of proto/sidewinder/v1 as classes, by their names: `contract.CallRequest`.

They are made from the descriptors in `descriptors`, in a pool of their own: no generated code that fits only
some releases of protobuf, and no quarrel with another package that knows the same files. `shapes` is a stub:
it tells type checkers what is here, and is nothing at run time. `make proto` makes both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from .descriptors import FILES

if TYPE_CHECKING:
    from .shapes import *  # noqa: F403

_POOL = descriptor_pool.DescriptorPool()
_PACKAGE = "sidewinder.v1"

for _file in FileDescriptorSet.FromString(FILES).file:
    _POOL.AddSerializedFile(_file.SerializeToString())
    for _message in _file.message_type:
        globals()[_message.name] = message_factory.GetMessageClass(
            _POOL.FindMessageTypeByName(f"{_file.package}.{_message.name}")
        )


def words(enum: str) -> dict[str, int]:
    """The numbers of an enum by its words: `words("Priority")["high"]`."""
    values = _POOL.FindEnumTypeByName(f"{_PACKAGE}.{enum}").values
    # Every word begins with the name of its enum.
    start = len(values[0].name) - len("UNSPECIFIED")
    return {value.name[start:].lower(): value.number for value in values}
