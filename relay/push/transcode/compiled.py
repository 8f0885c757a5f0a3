"""The AAC encoder's machine code: made once for each installation and processor, kept in a file, loaded by LLVM.

Loading takes 0.1 s and neither Numba nor NumPy. Where there is no such file yet, `compiler` makes one, in a process of
its own. The file lies beside the package's own bytecode or, where that may not be written to, in the user's cache. What
is in it will be run: one that others own, or can write to, is not taken.
"""

import ctypes
import fcntl
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple

import structlog

from relay.push.transcode.libraries import libraries

log = structlog.get_logger(__name__)

_SOURCES = Path(__file__).parents[2] / "core" / "aac" / "encoder"
_MAKERS = ("numba", "llvmlite", "numpy")
_PATIENCE = 600.0
"""Seconds that compiling may take."""
_OLD = 30 * 86_400
"""Seconds."""
_KINDS = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
"""Lines of /proc/cpuinfo."""
_ENCODE = (
    "void (*)(const float *, const float *, int64_t, int64_t, float *, double *, float *, int32_t *, int64_t *, "
    "uint8_t *, int32_t *)"
)
"""`relay.core.aac.encoder.frame.encode`."""
_RESAMPLE = "void (*)(const int16_t *, int64_t, double, float *, double *, float *, float *, float *)"
"""`relay.core.aac.encoder.resample.resample`."""


class Functions(NamedTuple):
    """For cffi."""

    encode: Any
    resample: Any


class MachineCode(NamedTuple):
    entries: tuple[str, ...]
    """The names of the functions, in the order of `Functions`."""
    never_called: tuple[str, ...]
    """Names that it refers to in vain."""
    object_file: bytes


class CannotCompile(Exception):
    """Why there is no machine code."""


@lru_cache(maxsize=1)
def encoder() -> Functions | None:
    """Encoder and resampler, loaded once for the process; None where they are not, as `prepare` has said why."""
    try:
        return _load(code) if (code := _find()) is not None else None
    except (ImportError, OSError, RuntimeError) as error:
        _warn(error)
        return None


def prepare() -> MachineCode | None:
    """Compiles the encoder where that was not done yet: before there is media, as it takes long.

    None, and a word in the log, where it cannot be done.
    """
    try:
        return _find() or _make()
    except (CannotCompile, ImportError, OSError) as error:
        _warn(error)
        return None


def _warn(error: Exception) -> None:
    log.warning("no compiled AAC encoder: FFmpeg's is used, which costs more", reason=str(error))


def keep(code: MachineCode) -> None:
    """Puts it where it is looked for. `OSError` where that is nowhere."""
    head = json.dumps({"entries": code.entries, "never_called": code.never_called})
    content = head.encode() + b"\n" + code.object_file
    errors = []
    for path in _places():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Who looks meanwhile finds none, or all of it.
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                whole = Path(folder, path.name)
                whole.write_bytes(_digest(content) + b"\n" + content)
                whole.chmod(0o644)
                whole.replace(path)
            _forget_old(path)
            return
        except OSError as error:
            errors.append(error)
    raise errors[0]


def _forget_old(path: Path) -> None:
    """What other versions have left. One that is newer may be of another processor on the same volume."""
    for other in path.parent.glob("encoder-*.o"):
        with suppress(OSError):
            if other.stat().st_mtime < path.stat().st_mtime - _OLD:
                other.unlink()


def _find() -> MachineCode | None:
    for path in _places():
        with suppress(OSError):
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                digest, _, content = file.read().partition(b"\n")
            # It will be run: so it has to be ours, or of who installs programs here.
            ours = status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022
            if ours and digest == _digest(content):
                head, _, object_file = content.partition(b"\n")
                known = json.loads(head)
                return MachineCode(tuple(known["entries"]), tuple(known["never_called"]), object_file)
    return None


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def _make() -> MachineCode:
    """By one process at a time: who waited finds what the other has made."""
    with _lock() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if (code := _find()) is not None:
            return code
        log.warning("compiling the AAC encoder, once for this processor: 10 to 30 s, as a rule")
        command = [sys.executable, "-m", "relay.push.transcode.compiler"]
        try:
            # What is run is this Python and, from where it lies, this package.
            subprocess.run(  # noqa: S603
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                cwd=Path(__file__).parents[3],
            )
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise CannotCompile(last[0] if last else f"exit code {error.returncode}") from None
        except subprocess.TimeoutExpired:
            raise CannotCompile(f"not done after {_PATIENCE:.0f} s") from None
    if (code := _find()) is None:
        raise CannotCompile("it is not where it was put")
    return code


def _lock() -> IO[bytes]:
    for path in _places():
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return (path.parent / "encoder.lock").open("ab")
    raise CannotCompile(f"neither of {', '.join(str(path.parent) for path in _places())} can be written to")


@lru_cache(maxsize=1)
def _places() -> tuple[Path, ...]:
    """Where the file may be. Its name changes with all that it depends on."""
    known = sha256(f"{sys.version} {_processor()}".encode())
    for maker in _MAKERS:
        known.update(version(maker).encode())
    for source in (*sorted(_SOURCES.glob("*.py")), Path(__file__).parent / "compiler.py", Path(__file__)):
        known.update(source.read_bytes())
    name = f"encoder-{known.hexdigest()[:16]}.o"
    beside = Path(__file__).parent / "__pycache__" / name
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return (beside, cache / "relay" / name) if cache.is_absolute() else (beside,)


def _processor() -> str:
    """What kind it is, and what it can do."""
    with suppress(OSError):
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
        return "\n".join(line for line in first.splitlines() if line.split("\t")[0].strip() in _KINDS)
    return platform.platform()


def _load(code: MachineCode) -> Functions:
    import llvmlite.binding as llvm  # 45 MB, mostly of code: for the processes that encode

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    library = llvm.JITLibraryBuilder().add_object_img(code.object_file).add_current_process()
    mathematics = ctypes.CDLL("libm.so.6")
    abort = _address(mathematics.abort)
    library.import_symbol("log2", _address(mathematics.log2))
    for name in code.never_called:
        library.import_symbol(name, abort)
    for name in code.entries:
        library.export_symbol(name)
    _kept.append(llvm.create_lljit_compiler(target))
    _kept.append(library.link(_kept[0], "relay"))
    kinds = (_ENCODE, _RESAMPLE)
    return Functions(
        *(libraries().ffi.cast(kind, _kept[1][name]) for kind, name in zip(kinds, code.entries, strict=True))
    )


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_kept: list[Any] = []
"""What the machine code lives in."""
