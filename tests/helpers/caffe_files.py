"""Caffe files for the tests: the messages written by the protobuf package from a description of their fields."""

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
# (field, number, type, repeated, packed) of the messages that hold weights, of each age
MESSAGES = {
    "BlobShape": [("dim", 1, F.TYPE_INT64, True, True)],
    "BlobProto": [
        *[
            (name, i, F.TYPE_INT32, False, False)
            for i, name in enumerate(("num", "channels", "height", "width"), 1)
        ],
        ("data", 5, F.TYPE_FLOAT, True, True),
        ("shape", 7, "BlobShape", False, False),
        ("double_data", 8, F.TYPE_DOUBLE, True, True),
    ],
    "V0LayerParameter": [("name", 1, F.TYPE_STRING, False, False), ("blobs", 50, "BlobProto", True, False)],
    "V1LayerParameter": [
        ("layer", 1, "V0LayerParameter", False, False),
        ("name", 4, F.TYPE_STRING, False, False),
        ("type", 5, F.TYPE_INT32, False, False),
        ("blobs", 6, "BlobProto", True, False),
    ],
    "LayerParameter": [
        ("name", 1, F.TYPE_STRING, False, False),
        ("type", 2, F.TYPE_STRING, False, False),
        ("blobs", 7, "BlobProto", True, False),
    ],
    "NetParameter": [
        ("name", 1, F.TYPE_STRING, False, False),
        ("layers", 2, "V1LayerParameter", True, False),
        ("layer", 100, "LayerParameter", True, False),
    ],
}


def _classes():
    file = descriptor_pb2.FileDescriptorProto(name="caffe_subset.proto", package="caffe_subset", syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, packed in fields:
            added = message.field.add(name=field, number=number)
            added.label = F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL
            added.type = F.TYPE_MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                added.type_name = f".caffe_subset.{kind}"
            added.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe_subset.{name}"))
        for name in MESSAGES
    }


CAFFE = _classes()


def blob(array, old=False, double=False):
    """A BlobProto: with a BlobShape, or with the four sizes of old."""
    made = CAFFE["BlobProto"]()
    (made.double_data if double else made.data).extend(array.reshape(-1).tolist())
    if old:
        for name, size in zip(
            ("num", "channels", "height", "width"), (1, 1, 1, 1, *array.shape)[-4:], strict=True
        ):
            setattr(made, name, size)
    else:
        made.shape.dim.extend(array.shape)
    return made


def model(arrays, version=2):
    """The bytes of a .caffemodel: {layer: its arrays}, as version 0, 1 or 2 of Caffe's description wrote them."""
    net = CAFFE["NetParameter"](name="net")
    for name, blobs in arrays.items():
        layer = net.layer.add() if version == 2 else net.layers.add()
        layer = layer.layer if version == 0 else layer
        layer.name = name
        layer.blobs.extend(blob(np.asarray(a), old=version < 2) for a in blobs)
    return net.SerializeToString()


def write(folder, text, arrays, version=2):
    """Write both files and return their paths."""
    (folder / "net.prototxt").write_text(text, encoding="utf-8")
    (folder / "net.caffemodel").write_bytes(model(arrays, version))
    return folder / "net.prototxt", folder / "net.caffemodel"
