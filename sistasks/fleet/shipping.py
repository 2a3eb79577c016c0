"""Functions of suites, made ready to travel: a person's own by value, with all of hers that they refer to."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError
from sistasks.suites.shipped import Shipped, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.suites.acted import Act

# folders of what an installer has put there, and may put on any machine
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_STANDARD: Final = Path(os.__file__).parent


def ship(act: Act) -> Shipped:
    """A function as it travels.

    Raises:
        FleetError: it refers to something that only this process has.
    """
    import cloudpickle

    package = ""
    if act.__module__ != "__main__" and act.__module__ not in _own():
        package = act.__module__.partition(".")[0]
    try:
        with _own_by_value():
            data = cloudpickle.dumps(act)
    except (pickle.PicklingError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise FleetError(f"{act.__name__} cannot be sent ({error})") from error
    return Shipped(act.__name__, data, source=source_of(act), package=package)


def _own() -> dict[str, ModuleType]:
    """Modules that are files of the person's, and not of what is installed."""
    return {
        module.__name__: module
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType) and sys.modules.get(module.__name__) is module and _is_own(module)
    }


def _is_own(module: ModuleType) -> bool:
    file = vars(module).get("__file__")
    if not isinstance(file, str) or module.__name__.partition(".")[0] == "sistasks":
        return False
    path = Path(file)
    return not _INSTALLED & set(path.parts) and not path.is_relative_to(_STANDARD)


@contextlib.contextmanager
def _own_by_value() -> Iterator[None]:
    """Have modules of the person's pickled as they are: no worker could import them."""
    import cloudpickle

    already = cloudpickle.list_registry_pickle_by_value()
    own = [module for name, module in _own().items() if name not in already]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
