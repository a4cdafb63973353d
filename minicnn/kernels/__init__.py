"""The maths, once per device: ``on(device)`` gives the module whose functions compute there."""

from types import ModuleType

from minicnn.errors import DeviceError

__all__ = ["DEVICES", "on"]

DEVICES = ("reference",)


def on(device: str) -> ModuleType:
    """Return the kernels of a device: "reference" is plain NumPy, the specification of all others.

    Raises
    ------
    DeviceError
        If there is no such device.

    """
    if device == "reference":
        from minicnn.kernels import reference

        return reference
    raise DeviceError(f"unknown device {device!r}; expected one of {', '.join(DEVICES)}")
