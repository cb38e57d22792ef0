# SPDX-License-Identifier: GPL-2.0-only
"""Why a verdict on one of upstream's programs differs here, by ``file.c::program``."""

from __future__ import annotations

from typing import Final

_JUMP_TABLES: Final = "libbpf here is older than 1.7 and knows no jump tables"
_FILLED: Final = "prog_tests/verifier.c puts values into the map before the run"

REASONS: Final[dict[str, str]] = {
    **{
        f"verifier_gotox.c::jump_table_{name}": _JUMP_TABLES
        for name in (
            *("ok", "reserved_field_src_reg", "reserved_field_non_zero_off", "reserved_field_non_zero_imm"),
            *("no_jump_table", "incorrect_dst_reg_type", "invalid_read_size_u32", "invalid_read_size_u16"),
            *("invalid_read_size_u8", "misaligned_access", "invalid_mem_acceess_pos", "invalid_mem_acceess_neg"),
            *("add_sub_ok", "no_writes", "outside_subprog", "contains_non_unique_values"),
            *(f"use_reg_r{number}" for number in range(10)),
        )
    },
    **{
        f"verifier_value_ptr_arith.c::{name}": _FILLED
        for name in (
            "alu_with_different_scalars_1",
            "value_ptr_known_scalar_5",
            "value_ptr_known_scalar_6",
            "unknown_scalar_value_ptr_2",
            "unknown_scalar_value_ptr_3",
            "value_ptr_unknown_scalar_2_1",
        )
    },
    **{f"verifier_array_access.c::a_read_only_array_{name}": _FILLED for name in ("1_1", "2_1")},
}
