# SPDX-License-Identifier: GPL-2.0-only
"""libbpf's C interface, as far as this project uses it: option structs, signatures, and errno turned into exceptions.

The library is the system's libbpf.so.1, 1.1 or newer, loaded by the first call of :func:`library`; importing this
module needs none. Option structs carry their size and only ever grew at their end, so one layout serves every version.
"""

from __future__ import annotations

import ctypes
import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class BpfError(OSError):
    """A call of libbpf or of bpf(2) failed. ``errno`` is the positive number.

    ``log`` is what libbpf, or for a VerifierError the verifier, had to say.
    """

    def __init__(self, number: int, what: str, log: str = "") -> None:
        name = errno.errorcode.get(abs(number), f"libbpf's error {abs(number)}")  # its own begin at 4000
        super().__init__(abs(number), f"{what}: {name}")
        self.log = log

    def __str__(self) -> str:
        last = self.log.rstrip().rsplit("\n", 1)[-1]
        return f"{self.strerror}; the log ends with: {last}" if last else str(self.strerror)


class VerifierError(BpfError):
    """The kernel refused a program. ``program`` is its name, ``log`` the verifier's whole log."""

    def __init__(self, number: int, program: str, log: str) -> None:
        super().__init__(number, f"the verifier refused {program}", log)
        self.program = program


class LibbpfMissing(RuntimeError):
    """There is no libbpf.so.1, or it is older than 1.1."""


class OpenOpts(ctypes.Structure):
    """struct bpf_object_open_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("_attach_prog_fd", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
    )


class TestRunOpts(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class CgroupIterInfo(ctypes.Structure):
    """The cgroup arm of union bpf_iter_link_info."""

    _fields_ = (("order", ctypes.c_uint32), ("cgroup_fd", ctypes.c_uint32), ("cgroup_id", ctypes.c_uint64))


class IterOpts(ctypes.Structure):
    """struct bpf_iter_attach_opts."""

    _fields_ = (("sz", ctypes.c_size_t), ("link_info", ctypes.c_void_p), ("link_info_len", ctypes.c_uint32))


class ProgLoadOpts(ctypes.Structure):
    """struct bpf_prog_load_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_uint32),
        ("prog_btf_fd", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_ifindex", ctypes.c_uint32),
        ("kern_version", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("attach_prog_fd", ctypes.c_uint32),
        ("attach_btf_obj_fd", ctypes.c_uint32),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_void_p),
        ("func_info_cnt", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_void_p),
        ("line_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
    )


#: libbpf_prog_prepare_load_fn_t: program, struct bpf_prog_load_opts, cookie.
PREPARE_LOAD = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ProgLoadOpts), ctypes.c_long)


class HandlerOpts(ctypes.Structure):
    """struct libbpf_prog_handler_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("cookie", ctypes.c_long),
        ("prog_setup_fn", ctypes.c_void_p),
        ("prog_prepare_load_fn", PREPARE_LOAD),
        ("prog_attach_fn", ctypes.c_void_p),
    )


_POINTER, _STRING, _INT, _U32, _SIZE, _BOOL = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_uint32,
    ctypes.c_size_t,
    ctypes.c_bool,
)
#: va_list is passed as a pointer on x86-64 (an array type) and on arm64 (by reference).
_PRINT = ctypes.CFUNCTYPE(_INT, _INT, _STRING, _POINTER)

# fmt: off
#: Name, result and arguments. A pointer result stays void *, so that NULL is None.
_SIGNATURES: tuple[tuple[Any, ...], ...] = (
    ("libbpf_major_version", _U32), ("libbpf_minor_version", _U32),
    ("libbpf_set_print", _POINTER, _PRINT),
    ("bpf_object__open_file", _POINTER, _STRING, ctypes.POINTER(OpenOpts)),
    ("bpf_object__load", _INT, _POINTER), ("bpf_object__close", None, _POINTER),
    ("bpf_object__btf", _POINTER, _POINTER), ("btf__raw_data", _POINTER, _POINTER, ctypes.POINTER(_U32)),
    ("bpf_object__next_program", _POINTER, _POINTER, _POINTER),
    ("bpf_object__next_map", _POINTER, _POINTER, _POINTER),
    ("bpf_program__name", _STRING, _POINTER), ("bpf_program__section_name", _STRING, _POINTER),
    ("bpf_program__fd", _INT, _POINTER),
    ("bpf_program__autoload", _BOOL, _POINTER), ("bpf_program__set_autoload", _INT, _POINTER, _BOOL),
    ("bpf_program__flags", _U32, _POINTER), ("bpf_program__set_flags", _INT, _POINTER, _U32),
    ("bpf_program__set_log_level", _INT, _POINTER, _U32),
    ("bpf_program__set_log_buf", _INT, _POINTER, _POINTER, _SIZE),
    ("libbpf_prog_type_by_name", _INT, _STRING, ctypes.POINTER(_INT), ctypes.POINTER(_INT)),
    ("bpf_program__type", _INT, _POINTER), ("bpf_program__set_type", _INT, _POINTER, _INT),
    ("bpf_program__expected_attach_type", _INT, _POINTER),
    ("bpf_program__insns", _POINTER, _POINTER), ("bpf_program__insn_cnt", _SIZE, _POINTER),
    ("bpf_program__set_insns", _INT, _POINTER, _POINTER, _SIZE),
    ("bpf_program__set_attach_target", _INT, _POINTER, _INT, _STRING),
    ("bpf_prog_load", _INT, _INT, _STRING, _STRING, _POINTER, _SIZE, ctypes.POINTER(ProgLoadOpts)),
    ("libbpf_register_prog_handler", _INT, _STRING, _INT, _INT, ctypes.POINTER(HandlerOpts)),
    ("libbpf_unregister_prog_handler", _INT, _INT),
    ("bpf_program__attach", _POINTER, _POINTER),
    ("bpf_program__attach_cgroup", _POINTER, _POINTER, _INT),
    ("bpf_program__attach_iter", _POINTER, _POINTER, ctypes.POINTER(IterOpts)),
    ("bpf_prog_test_run_opts", _INT, _INT, ctypes.POINTER(TestRunOpts)),
    ("bpf_map__name", _STRING, _POINTER), ("bpf_map__fd", _INT, _POINTER), ("bpf_map__type", _INT, _POINTER),
    ("bpf_map__is_internal", _BOOL, _POINTER), ("bpf_map__map_flags", _U32, _POINTER),
    ("bpf_map__key_size", _U32, _POINTER), ("bpf_map__value_size", _U32, _POINTER),
    ("bpf_map__btf_key_type_id", _U32, _POINTER), ("bpf_map__btf_value_type_id", _U32, _POINTER),
    ("bpf_map__initial_value", _POINTER, _POINTER, ctypes.POINTER(_SIZE)),
    ("bpf_map_lookup_elem", _INT, _INT, _POINTER, _POINTER),
    ("bpf_map_update_elem", _INT, _INT, _POINTER, _POINTER, ctypes.c_uint64),
    ("bpf_link__fd", _INT, _POINTER), ("bpf_link__destroy", _INT, _POINTER),
    ("bpf_iter_create", _INT, _INT),
)
# fmt: on


class Library:
    """The loaded library: its functions as attributes, and what it printed since :meth:`forget`."""

    def __init__(self) -> None:
        try:
            self.c = ctypes.CDLL("libbpf.so.1", use_errno=True)
            for name, result, *arguments in _SIGNATURES:
                function = getattr(self.c, name)
                function.restype, function.argtypes = result, arguments
        except OSError as missing:
            raise LibbpfMissing(f"libbpf.so.1 cannot be loaded ({missing}); Debian's package is libbpf1") from None
        except AttributeError as old:
            raise LibbpfMissing(f"this libbpf is older than 1.1: {old}") from None
        self.version = (self.c.libbpf_major_version(), self.c.libbpf_minor_version())
        if self.version < (1, 1):
            raise LibbpfMissing(f"libbpf is {self.version[0]}.{self.version[1]}, 1.1 or newer is needed")
        self._printed: list[str] = []
        self._vsnprintf = ctypes.CDLL(None).vsnprintf
        self._vsnprintf.argtypes = [_STRING, _SIZE, _STRING, _POINTER]
        self._callback = _PRINT(self._print)  # libbpf keeps the pointer, so the object must stay alive
        self.c.libbpf_set_print(self._callback)

    def _print(self, level: int, form: bytes, arguments: int) -> int:
        if level == 0:  # LIBBPF_WARN; formatting the rest costs more than it tells
            text = ctypes.create_string_buffer(8192)
            self._vsnprintf(text, len(text), form, arguments)
            self._printed.append(text.value.decode(errors="replace"))
        return 0

    def forget(self) -> None:
        """Drop what was printed so far."""
        self._printed.clear()

    def printed(self) -> str:
        """What libbpf warned of since :meth:`forget`."""
        return "".join(self._printed)

    def check(self, result: int | None, what: str) -> int:
        """The result of a call, or BpfError: libbpf 1.x returns -errno, or NULL with errno set."""
        if result is None:
            raise BpfError(ctypes.get_errno(), what, self.printed())
        if result < 0:
            raise BpfError(result, what, self.printed())
        return result

    def run_once(self, fd: int, name: str, ctx: Any = None, packet: bytes | None = None, repeat: int = 0) -> int:
        """Run a program (BPF_PROG_TEST_RUN) and return its result as a signed 32-bit number. Raises BpfError.

        ``ctx`` is a ctypes instance, changed in place by ``SEC("syscall")`` programs. ``packet`` is for programs that
        take one (tc, xdp, cgroup_skb): at least 14 bytes; ``repeat`` only for these. ``name`` is for the message.
        """
        opts = TestRunOpts(sz=ctypes.sizeof(TestRunOpts), repeat=repeat)
        if ctx is not None:
            # A syscall program's ctx_out must stay unset: the kernel copies the context back to ctx_in.
            opts.ctx_in, opts.ctx_size_in = ctypes.addressof(ctx), ctypes.sizeof(ctx)
        if packet is not None:
            keep = ctypes.create_string_buffer(packet, len(packet))
            opts.data_in, opts.data_size_in = ctypes.addressof(keep), len(packet)
        self.check(self.c.bpf_prog_test_run_opts(fd, ctypes.byref(opts)), f"run {name}")
        return ctypes.c_int32(opts.retval).value


_loaded: list[Library] = []


def library() -> Library:
    """The system's libbpf, loaded once. Raises LibbpfMissing."""
    if not _loaded:
        _loaded.append(Library())
    return _loaded[0]
