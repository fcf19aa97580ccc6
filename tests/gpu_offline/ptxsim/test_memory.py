"""Moves, parameters and loads and stores of every state space."""

import struct

import numpy as np
import pytest

from tests.gpu_offline.ptxsim.harness import apply, kernel, run
from tools import ptxsim


def test_pack_and_unpack() -> None:
    a = np.array([0x1122334455667788], np.uint64)
    assert apply("mov.b64 {%r5, %r6}, %a; mov.b64 %o, {%r6, %r5};", [a], np.uint64)[0] == 0x5566778811223344
    halves = "mov.b64 {%h1, %h2, %h3, %h4}, %a; mov.b64 %o, {%h4, %h3, %h2, %h1};"
    assert apply(halves, [a], np.uint64)[0] == 0x7788556633441122
    assert apply("mov.b64 {_, %o}, %a;", [a], np.uint32)[0] == 0x11223344
    own = "mov.b32 %r5, 0x00010002; mov.b32 {%h1, %h2}, %r5; mov.b32 %r5, {%h2, %h1}; mov.b32 %o, %r5;"
    assert apply(own, [a], np.uint32)[0] == 0x00020001


@pytest.mark.parametrize("type_", ["u8", "s8", "u16", "s16", "u32", "s32"])
def test_loads_extend(type_: str) -> None:
    source = np.array([0xF1F2F3F4], np.uint32)
    out = np.zeros(1, np.int64)
    run(f"ld.global.{type_} %rd5, [%rd0]; st.global.b64 [%rd1], %rd5;", [source, out], block=1)
    dtype = np.dtype(f"{'i' if type_[0] == 's' else 'u'}{int(type_[1:]) // 8}")
    assert out[0] == int(source.view(dtype)[0])


@pytest.mark.parametrize("form", ["v2.b32", "v4.b32", "v8.b32", "v2.b64", "v4.b64", "v4.b16", "v2.b8"])
@pytest.mark.parametrize("space", ["global", "shared", "local", "generic"])
def test_vectors(form: str, space: str) -> None:
    count, width = int(form[1]), int(form.rpartition("b")[2]) // 8
    nbytes = count * width
    source = np.arange(64 * nbytes, dtype=np.uint8)
    out = np.zeros_like(source)
    prefix = {1: "%h", 2: "%h", 4: "%r1", 8: "%rd1"}[width]
    registers = "{" + ", ".join(f"{prefix}{i}" for i in range(count)) + "}"
    through = {
        "global": "",
        "shared": f"mov.u32 %r30, buffer; mad.lo.u32 %r30, %r0, {nbytes}, %r30; "
        f"st.shared.{form} [%r30], {registers}; ld.shared.{form} {registers}, [%r30];",
        "local": f"mov.u64 %rd30, depot; st.local.{form} [%rd30+32], {registers}; ld.local.{form} {registers}, [%rd30+32];",
        "generic": f"mov.u32 %r30, buffer; mad.lo.u32 %r30, %r0, {nbytes}, %r30; cvt.u64.u32 %rd30, %r30; "
        f"cvta.shared.u64 %rd30, %rd30; mov.u64 %rd31, depot; cvta.local.u64 %rd31, %rd31; "
        f"st.{form} [%rd30], {registers}; ld.{form} {registers}, [%rd30]; "
        f"st.{form} [%rd31], {registers}; ld.{form} {registers}, [%rd31];",
    }[space]
    body = f"""
    .shared .align 32 .b8 buffer[2048];
    .local .align 32 .b8 depot[64];
    mul.wide.u32 %rd20, %r0, {nbytes}; add.u64 %rd21, %rd0, %rd20; add.u64 %rd22, %rd1, %rd20;
    ld.global.{form} {registers}, [%rd21];
    {through}
    st.global.{form} [%rd22], {registers};
    """
    report = run(body, [source, out], block=64)
    np.testing.assert_array_equal(out, source)
    assert report.load_widths == {nbytes: 2}
    assert report.store_widths == {nbytes: 2}


def test_generic_access_to_several_spaces_at_once() -> None:
    out = np.zeros(32, np.uint32)
    body = """
    .shared .align 4 .b8 buffer[128];
    mov.u32 %r1, buffer; cvt.u64.u32 %rd5, %r1; cvta.shared.u64 %rd5, %rd5;
    setp.lt.u32 %p1, %r0, 16; selp.b64 %rd6, %rd5, %rd0, %p1;
    mul.wide.u32 %rd7, %r0, 4; add.u64 %rd6, %rd6, %rd7;
    st.u32 [%rd6], %r0; ld.u32 %r2, [%rd6];
    isspacep.shared %p2, %rd6; @%p2 add.u32 %r2, %r2, 100;
    add.u64 %rd8, %rd0, %rd7; st.global.u32 [%rd8], %r2;
    """
    run(body, [out])
    assert out.tolist() == [i + 100 if i < 16 else i for i in range(32)]


def test_struct_by_value() -> None:
    x, y = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    body = """
    ld.param.u64 %rd1, [s]; ld.param.u64 %rd2, [s+8]; ld.param.s32 %r1, [s+16]; ld.param.v2.f32 {%f1, %f2}, [s+24];
    mov.u32 %r2, %tid.x; setp.ge.s32 %p1, %r2, %r1; @%p1 ret;
    mul.wide.u32 %rd3, %r2, 4; add.u64 %rd1, %rd1, %rd3; add.u64 %rd2, %rd2, %rd3;
    ld.global.f32 %f3, [%rd1]; fma.rn.f32 %f3, %f3, %f1, %f2; ld.param.f32 %f4, [t]; add.f32 %f3, %f3, %f4;
    st.global.f32 [%rd2], %f3;
    """
    compiled = kernel(body, ".param .align 8 .b8 s[32], .param .f32 t")
    assert [(p.name, p.dtype, p.align) for p in compiled.params] == [("s", np.dtype("V32"), 8), ("t", np.float32, 4)]
    memory = ptxsim.GlobalMemory()
    at = [memory.map_at(array.ctypes.data, array.nbytes, writable=w) for array, w in ((x, False), (y, True))]
    packed = struct.pack("QQi4xff", *at, 3, 2.0, 10.0)
    ptxsim.launch(compiled, (1, 1, 1), (32, 1, 1), [packed, 0.5], memory)
    assert y.tolist() == [10.5, 12.5, 14.5, 0]


def test_parameter_read_through_its_address() -> None:
    out = np.zeros(3, np.uint32)
    body = """
    ld.param.u64 %rd1, [o]; mov.b64 %rd2, s; mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4;
    add.u64 %rd4, %rd2, %rd3; ld.param.u32 %r2, [%rd4]; cvta.param.u64 %rd5, %rd4; ld.u32 %r3, [%rd5];
    add.u32 %r2, %r2, %r3; add.u64 %rd1, %rd1, %rd3; st.global.u32 [%rd1], %r2;
    """
    memory = ptxsim.GlobalMemory()
    args = [memory.map(out), struct.pack("3I", 5, 6, 7)]
    report = ptxsim.launch(kernel(body, ".param .u64 o, .param .align 4 .b8 s[12]"), (1, 1, 1), (3, 1, 1), args, memory)
    assert out.tolist() == [10, 12, 14]
    assert report.bytes_stored == 12


def test_module_variables() -> None:
    before = """
    .const .align 4 .f32 table[4] = {0f3F800000, 2.0, 3.0};
    .global .align 4 .u32 counter = 7;
    .global .align 1 .b8 name[4] = {104, 105};
    """
    body = """
    mov.u64 %rd5, table; mul.wide.u32 %rd6, %r0, 4; add.u64 %rd5, %rd5, %rd6; ld.const.f32 %f1, [%rd5];
    add.u64 %rd7, %rd0, %rd6; st.global.f32 [%rd7], %f1;
    ld.const.f32 %f2, [table+4]; st.global.f32 [%rd7+16], %f2;
    mov.u64 %rd8, counter; cvta.global.u64 %rd8, %rd8; atom.global.add.u32 %r1, [%rd8], 1;
    st.global.u32 [%rd7+32], %r1; mov.u64 %rd9, name+1; ld.global.u8 %r2, [%rd9]; st.global.u32 [%rd7+48], %r2;
    """
    out = np.zeros(16, np.uint32)
    run(body, [out], block=4, before=before)
    assert out[:4].view(np.float32).tolist() == [1, 2, 3, 0]
    assert out[4:8].view(np.float32).tolist() == [2] * 4
    assert out[8:12].tolist() == [7, 8, 9, 10]
    assert out[12:].tolist() == [105] * 4
    run(body, [out], block=4, before=before)
    assert out[8:12].tolist() == [11, 12, 13, 14]  # a module's variables outlive a launch


def test_static_and_dynamic_shared_memory() -> None:
    before = ".extern .shared .align 16 .b8 dynamic[];"
    body = """
    .shared .align 4 .b8 fixed[100];
    mov.u32 %r1, fixed; mov.u32 %r2, dynamic; sub.u32 %r3, %r2, %r1;
    st.global.u32 [%rd0], %r3; mov.u32 %r4, %dynamic_smem_size; st.global.u32 [%rd0+4], %r4;
    st.shared.u32 [fixed], %r0; st.shared.u32 [dynamic+60], %r0;
    """
    out = np.zeros(2, np.uint32)
    run(body, [out], block=1, before=before, dynamic_shared=64)
    assert out.tolist() == [112, 64]
    with pytest.raises(ptxsim.OutOfBounds):
        run(body, [out], block=1, before=before, dynamic_shared=60)


def test_special_registers() -> None:
    names = [
        "tid.x",
        "tid.y",
        "tid.z",
        "ntid.y",
        "ctaid.x",
        "nctaid.x",
        "laneid",
        "warpid",
        "lanemask_lt",
        "lanemask_ge",
    ]
    stores = "".join(f"mov.u32 %r5, %{name}; st.global.u32 [%rd5+{4 * i}], %r5;" for i, name in enumerate(names))
    body = f"""
    mov.u32 %r1, %tid.y; mov.u32 %r2, %tid.z; mad.lo.u32 %r3, %r2, 3, %r1; mad.lo.u32 %r3, %r3, 5, %r0;
    mov.u32 %r4, %ctaid.x; mad.lo.u32 %r3, %r4, 60, %r3;
    mad.wide.u32 %rd5, %r3, {4 * len(names)}, %rd0; {stores}
    """
    out = np.zeros((2, 4, 3, 5, len(names)), np.uint32)
    run(body, [out], grid=2, block=(5, 3, 4))
    for block, z, y, x in np.ndindex(2, 4, 3, 5):
        linear = (z * 3 + y) * 5 + x
        lane = linear % 32
        below = (1 << lane) - 1
        want = [x, y, z, 3, block, 2, lane, linear // 32, below, 0xFFFFFFFF & ~below]
        assert out[block, z, y, x].tolist() == want


def test_atomics() -> None:
    counts = np.array([0, 100, 0, 0, 5, 0], np.uint32)
    total = np.zeros(1, np.float32)
    old = np.zeros(64, np.uint32)
    body = """
    atom.global.add.u32 %r1, [%rd0], 2; red.global.min.u32 [%rd0+4], %r0; red.global.max.u32 [%rd0+8], %r0;
    atom.global.cas.b32 %r2, [%rd0+12], %r0, 77; atom.global.exch.b32 %r3, [%rd0+16], 9;
    atom.global.inc.u32 %r4, [%rd0+20], 9;
    cvt.rn.f32.u32 %f1, %r0; red.global.gpu.relaxed.add.f32 [%rd1], %f1;
    mul.wide.u32 %rd5, %r0, 4; add.u64 %rd5, %rd2, %rd5; st.global.u32 [%rd5], %r1;
    """
    run(body, [counts, total, old], block=64)
    assert counts.tolist() == [128, 0, 63, 77, 9, 4]
    assert total[0] == 64 * 63 / 2
    assert sorted(old.tolist()) == list(range(0, 128, 2))


def test_shared_atomics_and_packed_ones() -> None:
    out = np.zeros(2, np.uint32)
    halves = np.zeros(2, np.float16)
    body = """
    .shared .align 4 .b8 s[4];
    setp.eq.u32 %p1, %r0, 0; mov.u32 %r9, 0; @%p1 st.shared.u32 [s], %r9; bar.sync 0;
    atom.shared.add.u32 %r1, [s], 1; bar.sync 0; ld.shared.u32 %r2, [s];
    @%p1 st.global.u32 [%rd0], %r2;
    mov.b32 %r3, 0x40003C00; red.global.add.noftz.f16x2 [%rd1], %r3;
    """
    report = run(body, [out, halves], block=64)
    assert out[0] == 64
    assert halves.tolist() == [64, 128]
    assert report.races == ()


def test_unaligned_storage_works() -> None:
    raw = np.zeros(4 * 32 + 1, np.uint8)
    array = raw[1:].view(np.float32)
    run(
        "mul.wide.u32 %rd5, %r0, 4; add.u64 %rd5, %rd0, %rd5; st.global.u32 [%rd5], %r0; ld.global.u32 %r1, [%rd5];",
        [array],
    )
    assert array.view(np.uint32).tolist() == list(range(32))


def test_mappings() -> None:
    memory = ptxsim.GlobalMemory()
    array = np.zeros(5, np.float32)
    first, second = memory.map(array), memory.map(np.zeros(5))
    assert first % 256 == 0
    assert second % 256 == 0
    assert abs(second - first) > 1024
    with pytest.raises(ValueError, match="C-contiguous"):
        memory.map(np.zeros((4, 4)).T)
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        memory.map(frozen)
    memory.map(frozen, writable=False)
    place = memory.map_at(array.ctypes.data, array.nbytes)
    assert memory.map_at(place, array.nbytes) == place
    with pytest.raises(ValueError, match="overlaps"):
        memory.map_at(place + 4, 64)
