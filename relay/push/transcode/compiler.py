"""Makes machine code of the AAC encoder and its resampler (`relay.core.aac.encoder`) for this processor, by Numba.

`python -m relay.push.transcode.compiler` puts it where `compiled` looks, which starts that by itself where there is
none. It takes 10 to 30 s, in a process of its own, with which the memory goes that Numba and LLVM want for it. The
functions are taken as they stand: their annotations say the types that they are compiled for.
"""

import inspect
from collections.abc import Iterable
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, get_args, get_origin, get_type_hints

import llvmlite.binding as llvm
import numba
from numba import types

from relay.core.aac.encoder import frame, memory, resample, tables
from relay.push.transcode import compiled

_MODULES = (
    "bits",
    "huffman",
    "fft",
    "transform",
    "attack",
    "quantizer",
    "scratch",
    "fit",
    "block",
    "frame",
    "resample",
)
# Sums may be taken in any order; infinities and what is no number are none the less what they are.
_OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "arcp", "nsz", "afn"}}
# Nothing is allocated, so nothing is counted; and only the two entries are called from outside, and not by Python.
_INNER_OPTIONS = _OPTIONS | {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_TYPES: dict[Any, Any] = {
    tables.Floats: types.float32[::1],
    tables.Doubles: types.float64[::1],
    tables.Shorts: types.int16[::1],
    tables.Ints: types.int32[::1],
    tables.Longs: types.int64[::1],
    tables.Bytes: types.uint8[::1],
    int: types.int64,
    float: types.float64,
    complex: types.complex64,
    bool: types.boolean,
    type(None): types.void,
}
_NEVER_CALLED = ("numba_", "NRT_")
"""Numba's own functions, by how their names begin: they serve exceptions and memory, of which there are none."""


def main() -> int:
    compiled.keep(_compile())
    return 0


def _compile() -> compiled.MachineCode:
    _compile_inner([import_module(f"relay.core.aac.encoder.{name}") for name in _MODULES])
    encode, resampler = frame.encode, resample.resample

    def encoding(left, right, count, filled, state, control, floats, ints, at, out, sizes):  # type: ignore[no-untyped-def]
        blocks = (filled + count) // memory.FRAME
        encode(
            numba.carray(left, (count,)),
            numba.carray(right, (count,)),
            count,
            filled,
            numba.carray(state, (memory.STATE,)),
            numba.carray(control, (memory.CONTROLS,)),
            numba.carray(floats, (memory.FLOATS,)),
            numba.carray(ints, (memory.INTS,)),
            numba.carray(at, (memory.LONGS,)),
            numba.carray(out, (blocks * memory.FRAME_BYTES,)),
            numba.carray(sizes, (blocks,)),
        )

    def resampling(sound, count, slide, state, control, scratch, left, right):  # type: ignore[no-untyped-def]
        resampler(
            numba.carray(sound, (2 * count,)),
            count,
            slide,
            numba.carray(state, (memory.RESAMPLER_STATE,)),
            numba.carray(control, (memory.RESAMPLER_CONTROLS,)),
            numba.carray(scratch, (memory.RESAMPLER_FLOATS,)),
            numba.carray(left, (count + memory.LANES,)),
            numba.carray(right, (count + memory.LANES,)),
        )

    made = [_entry(encoding, encode), _entry(resampling, resampler)]
    module = llvm.parse_assembly(made[0].inspect_llvm())
    module.link_in(llvm.parse_assembly(made[1].inspect_llvm()))
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )
    never_called = [one.name for one in module.functions if one.name.startswith(_NEVER_CALLED) and one.is_declaration]
    entries = tuple(function.native_name for function in made)
    return compiled.MachineCode(entries, tuple(never_called), target.emit_object(module))


def _entry(entry: Any, function: Any) -> Any:
    """For C: `entry`, which takes pointers in the place of the arrays of `function`."""
    taken, _ = _signature(function.py_func)
    pointers = [types.CPointer(kind.dtype) if isinstance(kind, types.Array) else kind for kind in taken]
    return numba.cfunc(types.void(*pointers), **_OPTIONS)(entry)


def _compile_inner(modules: Iterable[ModuleType]) -> None:
    """Every function becomes a compiled one, in all modules that know it; those first that others call."""
    functions = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]
    made = {
        function: numba.njit(function, **_INNER_OPTIONS, forceinline=getattr(function, "inlined", False))
        for function in functions
    }
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value in made:
                setattr(module, name, made[value])
    done = set()

    def finish(function: FunctionType) -> None:
        if function in done:
            return
        done.add(function)
        for name in function.__code__.co_names:
            called: Any = function.__globals__.get(name)
            if hasattr(called, "py_func"):
                finish(called.py_func)
        taken, given = _signature(function)
        made[function].compile(given(*taken))
        # It is called with what is annotated, or not at all: no second version for other types.
        made[function].disable_compile()

    for function in functions:
        finish(function)


def _signature(function: FunctionType) -> tuple[list[Any], Any]:
    """Numba's types of what it takes and gives."""
    hints = get_type_hints(function)
    given = _type(hints.pop("return"))
    return [_type(hint) for hint in hints.values()], given


def _type(hint: Any) -> Any:
    if get_origin(hint) is tuple:
        return types.Tuple([_type(part) for part in get_args(hint)])
    if inspect.isclass(hint) and issubclass(hint, tuple):  # a NamedTuple
        parts = [_type(part) for part in get_type_hints(hint).values()]
        # Numba has a type of its own for those of one kind of part.
        same = len(set(parts)) == 1
        return types.NamedUniTuple(parts[0], len(parts), hint) if same else types.NamedTuple(parts, hint)
    return _TYPES[hint]


if __name__ == "__main__":
    raise SystemExit(main())
