"""Records made without `typing` are what its own would be, in both stages of their constructor."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

from hpcwatch.probe import decode, schema, typed

SOURCE = Path(schema.__file__).read_text()
MANY = 2 * typed._COMPILED_FROM if hasattr(typed, "_COMPILED_FROM") else 2


def typings(name: str) -> Any:
    """A record of the schema as `typing` makes it."""
    code = SOURCE.replace("from .typed import", "from typing import")
    assert code != SOURCE
    known: dict[str, Any] = {"__name__": "typings", "__package__": typed.__package__}
    exec(compile(code, "typings", "exec", dont_inherit=True), known)
    return known[name]


RECORDS = ["Cgroup", "Gpu", "GpuProcess", "JobUse", "Mig", "Node", "Process", "Sample"]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_fields_defaults_and_types_of_typings(name: str) -> None:
    ours, theirs = getattr(schema, name), typings(name)
    assert ours._fields == theirs._fields
    assert ours._field_defaults == theirs._field_defaults
    assert ours.__doc__ == theirs.__doc__
    meant = {field: typed.meaning(hint) for field, hint in ours.__annotations__.items()}
    for field, hint in typing.get_type_hints(theirs).items():
        assert repr(meant[field]).replace("hpcwatch.probe.schema", "typings") == repr(hint)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_made_as_typings_is_however_many_there_are(name: str) -> None:
    ours, theirs = getattr(schema, name), typings(name)
    needed = [field for field in ours._fields if field not in ours._field_defaults]
    values = list(range(len(needed)))
    last = {ours._fields[-1]: "given"} if ours._fields[-1] not in needed else {}
    for _ in range(MANY):
        made, meant = ours(*values, **last), theirs(*values, **last)
        assert tuple(made) == tuple(meant)
        assert repr(made) == repr(meant)
        assert made == ours(**dict(zip(needed, values)), **last)
    assert made._asdict() == meant._asdict()
    first = ours._fields[0]
    assert getattr(made, first) == made[0] == getattr(meant, first)
    assert tuple(made._replace(**{first: 7})) == tuple(meant._replace(**{first: 7}))
    assert ours._make(made) == made
    assert type(pickle.loads(pickle.dumps(made))) is ours
    assert copy.copy(made) == made


@pytest.mark.parametrize("count", [1, MANY])
def test_a_record_refuses_what_typings_refuses(count: int) -> None:
    class Pair(typed.NamedTuple):
        low: int
        high: int = 9

    for _ in range(count):
        pair = Pair(1)
        assert pair == (1, 9)
        for values, named in (((), {}), ((1, 2, 3), {}), ((1,), {"odd": 1}), ((1,), {"low": 1})):
            with pytest.raises(TypeError):
                Pair(*values, **named)
    with pytest.raises(ValueError, match="odd"):
        pair._replace(odd=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Pair._make([1, 2, 3])
    with pytest.raises(AttributeError):
        pair.low = 2  # type: ignore[misc]


def test_a_field_without_a_default_does_not_follow_one_with_it() -> None:
    with pytest.raises(TypeError, match="default"):
        exec("class Odd(NamedTuple):\n    low: int = 1\n    high: int\n", vars(typed).copy())


def test_a_records_methods_are_its_own() -> None:
    class Length(typed.NamedTuple):
        low: int
        high: int

        @property
        def whole(self) -> int:
            return self.high - self.low

    assert Length(2, 5).whole == 3
    assert not hasattr(Length(2, 5), "__dict__")


def test_noted_types_mean_those_of_typing() -> None:
    noted: Any = typed.Optional[typed.Dict[str, typed.Tuple[float, ...]]]
    assert repr(typed.meaning(noted)) == (
        "typing.Optional[typing.Dict[str, typing.Tuple[float, ...]]]"
    )
    noted = typed.Callable[[int, typed.Any], typed.List[str]]
    assert repr(typed.meaning(noted)) == "typing.Callable[[int, typing.Any], typing.List[str]]"
    assert typed.meaning(list[typed.Optional[int]]) == list[typing.Optional[int]]
    assert typed.meaning(int) is int


def test_a_noted_type_may_stand_in_a_text() -> None:
    class Pair(typed.NamedTuple):
        low: typed.Optional[int]

    Pair.__annotations__ = {"low": "typed.Optional[int]"}
    assert decode.build(Pair, {"low": 3}) == (3,)
    with pytest.raises(TypeError):
        decode.build(Pair, {"low": "3"})


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="typing makes its records")
def test_the_schema_is_loaded_without_typing() -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}; import hpcwatch.probe.schema"
    code += "; print('typing' in sys.modules)"
    words = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
