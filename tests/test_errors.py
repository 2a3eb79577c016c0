"""Each error is one sentence with a remedy, and knows its exit code."""

from __future__ import annotations

import pytest

from sistasks import errors


def kinds() -> list[type[errors.SistasksError]]:
    found = [errors.SistasksError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_the_sentence() -> None:
    assert str(errors.SistasksError("it broke")) == "it broke"
    assert str(errors.SistasksError("it broke", "mend it")) == "it broke; mend it"


def test_details_are_indented_below_the_sentence() -> None:
    error = errors.SistasksError("it broke", "mend it", "line one\nline two\n")
    assert str(error) == "it broke; mend it\n    line one\n    line two"
    assert (error.problem, error.remedy) == ("it broke", "mend it")


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_exit_codes(kind: type[errors.SistasksError]) -> None:
    failures = dict.fromkeys(("KernelFailure", "PoweredOff", "NotReproduced"), 1)
    expected = failures | {"UsageError": 3, "KernelImageError": 3}
    assert kind.exit_code == expected.get(kind.__name__, 2)
    assert kind.__doc__


def test_one_root() -> None:
    own = [item for item in vars(errors).values() if isinstance(item, type)]
    assert all(issubclass(item, errors.SistasksError) for item in own)
    assert len(own) == len(kinds())
