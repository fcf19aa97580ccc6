// The recurrences over lanes against their definitions: values, and gradients along random directions, on every
// instruction set; the same bits whatever the number of threads, and for complex numbers in two planes.
#include <cmath>
#include <cstring>
#include <memory>

#include "check.h"
#include "common/half.h"
#include "kernel_tables.h"
#include "lane_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

using Table = TableOf<LaneKernels>;

std::vector<Table> tables() { return CSSM_MACHINE_TABLES(lane_kernels); }

// An operand as it is stored, in memory of its exact size.
struct Stored {
  LaneArray array;
  std::unique_ptr<char[]> memory, imaginary;
  size_t bytes = 0;  // of each
};

template <class S, class C>
void write_elements(const LaneOperand& o, int parts, char* to) {
  for (size_t i = 0; i < o.values.size(); ++i) {
    reinterpret_cast<S*>(to)[i * parts] = narrowed<S>(C(o.values[i].real()));
    if (parts == 2) reinterpret_cast<S*>(to)[i * 2 + 1] = narrowed<S>(C(o.values[i].imag()));
  }
}
template <class S, class C>
void read_elements(const char* from, int parts, LaneOperand& o) {
  const S* p = reinterpret_cast<const S*>(from);
  for (size_t i = 0; i < o.values.size(); ++i) {
    o.values[i] = {double(widened<C>(p[i * parts])), parts == 2 ? double(widened<C>(p[i * 2 + 1])) : 0.0};
  }
}

template <class Body>
void with_types(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF32:
    case DType::kC64: return body(float{}, float{});
    case DType::kF64:
    case DType::kC128: return body(double{}, double{});
    case DType::kBF16: return body(BF16Storage{}, float{});
    case DType::kF16: return body(F16Storage{}, float{});
  }
}

Stored stored(const LaneOperand& o, DType dtype) {
  Stored out;
  if (!o.present) return out;
  Dims dims = o.dims;
  dims.push_back(o.rows);
  dims.push_back(o.columns);
  out.bytes = size_t(o.size()) * element_bytes(dtype);
  out.memory.reset(new char[out.bytes]);
  out.array = lane_array(out.memory.get(), dtype, dims, int64_t(o.dims.size()), -1);
  with_types(dtype, [&](auto s, auto c) {
    write_elements<decltype(s), decltype(c)>(o, is_complex(dtype) ? 2 : 1, out.memory.get());
  });
  return out;
}

DType real_dtype(DType dtype) {
  return dtype == DType::kC64 ? DType::kF32 : dtype == DType::kC128 ? DType::kF64 : dtype;
}

// How operands are stored that are not states.
struct Storage {
  DType dtype;
  bool in_planes = false;

  Stored operator()(LaneOperand o, bool conjugated = false) const {
    const bool is_split = in_planes && !o.is_real;
    if (!is_split) return stored(o, o.is_real ? real_dtype(dtype) : dtype);
    Stored out = stored(o, dtype);
    for (Complex& value : o.values) value = conjugated ? -value.imag() : value.imag();
    Stored imaginary = stored(o, dtype);
    out.imaginary = std::move(imaginary.memory);
    out.array.imaginary = out.imaginary.get();
    out.array.conjugated = conjugated;
    return out;
  }
};

// A result full of NaN, of an operand's layout.
Stored poisoned(Stored out) {
  if (out.bytes) std::memset(out.memory.get(), 0xff, out.bytes);
  if (out.imaginary) std::memset(out.imaginary.get(), 0xff, out.bytes);
  return out;
}

LaneOperand loaded(const Stored& s, LaneOperand like) {
  with_types(s.array.dtype, [&](auto type, auto c) {
    const auto read = [&](const char* from, LaneOperand& into) {
      read_elements<decltype(type), decltype(c)>(from, is_complex(s.array.dtype) ? 2 : 1, into);
    };
    read(s.memory.get(), like);
    if (!s.imaginary) return;
    LaneOperand imaginary = like;
    read(s.imaginary.get(), imaginary);
    for (size_t i = 0; i < like.values.size(); ++i) {
      const double part = imaginary.values[i].real();
      like.values[i] += Complex(0, s.array.conjugated ? -part : part);
    }
  });
  return like;
}

// A case as the drivers take it; `problem` points into the rest.
struct Arguments {
  Storage storage;
  LaneScanProblem problem{};
  Stored in[kMaxLaneInputs], h0, ct, ct_final;

  Arguments(const LaneCase& c, const Storage& of) : storage(of) {
    problem.op = c.op;
    problem.option = c.option;
    problem.dtype = c.dtype;
    problem.shape = c.shape;
    problem.axis = c.axis;
    problem.reverse = c.reverse;
    std::copy(c.sizes, c.sizes + 2, problem.sizes);
    problem.state_rows = c.state_rows;
    problem.state_columns = c.state_columns;
    for (int i = 0; i < kMaxLaneInputs; ++i) {
      in[i] = storage(c.in[i]);
      problem.in[i] = in[i].array;
    }
    h0 = stored(c.h0, state_dtype(c.dtype));
    problem.h0 = h0.array;
    ct = storage(c.ct, true);
    ct_final = stored(c.ct_final, state_dtype(c.dtype));
    if (!c.reset.empty()) {
      problem.reset = lane_array(reinterpret_cast<const char*>(c.reset.data()), DType::kF32, c.reset_dims,
                                 int64_t(c.reset_dims.size()), -1);
    }
  }
};

double tolerance(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kC128: return 1e-11;
    case DType::kBF16: return 4e-2;
    case DType::kF16: return 6e-3;
    default: return 2e-5;
  }
}

void expect_close(const char* what, const LaneOperand& actual, const LaneOperand& expected, const LaneCase& c,
                  const Table& table) {
  double largest = 1;
  for (const Complex& value : expected.values) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < expected.values.size(); ++i) {
    Complex a = actual.values[i], b = expected.values[i];
    if (c.op == LaneOp::kGoom) a = std::exp(a), b = std::exp(b);
    if (!(std::abs(a - b) <= tolerance(c.dtype) * (c.op == LaneOp::kGoom ? std::abs(b) + 0.1 : largest))) {
      return fail(std::string(what) + " is off at " + std::to_string(i) + ": " + c.name() + ", " + table.name);
    }
  }
}

struct Gradients {
  Stored of[kMaxLaneInputs + 1];

  Gradients(const LaneCase& c, const Arguments& args, const Table& table, unsigned wanted, ThreadPool& pool) {
    LaneScanBackward b{};
    b.ct = args.ct.array;
    b.ct_final = args.ct_final.array;
    for (int i = 0; i < kMaxLaneInputs; ++i) {
      if (wanted >> i & 1) of[i] = poisoned(args.storage(c.in[i], true));
      b.grad[i] = of[i].array;
    }
    if (wanted >> kMaxLaneInputs & 1) of[kMaxLaneInputs] = poisoned(stored(c.h0, state_dtype(c.dtype)));
    b.dh0 = of[kMaxLaneInputs].array;
    lane_scan_backward(args.problem, b, table.kernels, pool);
  }

  bool operator==(const Gradients& other) const {
    for (int i = 0; i <= kMaxLaneInputs; ++i) {
      if (of[i].bytes && std::memcmp(of[i].memory.get(), other.of[i].memory.get(), of[i].bytes) != 0) return false;
      if (of[i].imaginary && std::memcmp(of[i].imaginary.get(), other.of[i].imaginary.get(), of[i].bytes) != 0) {
        return false;
      }
    }
    return true;
  }
};

struct Values {
  Stored y, final_state;

  Values(const LaneCase& c, const Arguments& args, const Table& table, ThreadPool& pool)
      : y(poisoned(args.storage(c.y()))), final_state(poisoned(stored(c.final_state(), state_dtype(c.dtype)))) {
    lane_scan_forward(args.problem, {y.array, final_state.array}, table.kernels, pool);
  }
};

Complex paired(const LaneOperand& a, const LaneOperand& b) {
  Complex sum = 0;
  for (size_t i = 0; a.present && i < a.values.size(); ++i) sum += a.values[i] * b.values[i];
  return sum;
}

Complex loss(const LaneCase& c) {
  const LaneResult out = lane_definition(c);
  return paired(c.ct, out.y) + paired(c.ct_final, out.final_state);
}

// The sum of gradient times direction is the derivative of the loss along it, for operands real or holomorphic.
void check_gradients(const LaneCase& c, const Gradients& gradients, unsigned wanted, const Table& table,
                     Random& random) {
  constexpr double kStep = 1e-5;
  LaneCase ahead = c, behind = c;
  Complex expected = 0;
  double scale = 1;
  for (int i = 0; i <= kMaxLaneInputs; ++i) {
    const LaneOperand& o = i < kMaxLaneInputs ? c.in[i] : c.h0;
    if (!o.present || !(wanted >> i & 1)) continue;
    const LaneOperand grad = loaded(gradients.of[i], o);
    for (size_t k = 0; k < o.values.size(); ++k) {
      const Complex d(random.uniform(-1, 1), o.is_real ? 0.0 : random.uniform(-1, 1));
      (i < kMaxLaneInputs ? ahead.in[i] : ahead.h0).values[k] += kStep * d;
      (i < kMaxLaneInputs ? behind.in[i] : behind.h0).values[k] -= kStep * d;
      expected += grad.values[k] * d;
      scale += std::abs(grad.values[k]);
    }
  }
  const Complex off = (loss(ahead) - loss(behind)) / (2 * kStep) - expected;
  // The gradient of a real operand is the real part alone.
  if (!((c.op == LaneOp::kCoupled ? std::abs(off.real()) : std::abs(off)) <= 1e-6 * scale))
    fail("gradients are off: " + c.name() + ", " + table.name);
}

void check(const LaneCase& c, Random& random) {
  static TestPool one(1), four(4);
  const LaneResult expected = lane_definition(c);
  const Arguments args(c, {c.dtype});
  for (const Table& table : tables()) {
    const Values values(c, args, table, random.chance(0.5) ? one : four);
    expect_close("y", loaded(values.y, expected.y), expected.y, c, table);
    expect_close("final", loaded(values.final_state, expected.final_state), expected.final_state, c, table);
    const unsigned wanted = unsigned(random.bits());
    const Gradients gradients(c, args, table, wanted, one);
    if (!(gradients == Gradients(c, args, table, wanted, four)))
      fail("threads matter: " + c.name() + ", " + table.name);
    const bool is_exact = c.dtype == DType::kF64 || (c.dtype == DType::kC128 && c.op != LaneOp::kDelta);
    // A logarithm near a zero has derivatives that no finite difference finds.
    if (is_exact && c.op != LaneOp::kGoom) check_gradients(c, gradients, wanted, table, random);
  }
}

// Values as they come back from memory.
LaneOperand rounded(const LaneOperand& o, const Storage& storage) { return o.present ? loaded(storage(o), o) : o; }

void expect_rounded(const char* what, const Stored& planes, const Stored& whole, const LaneOperand& like,
                    const LaneCase& c, const Storage& storage, const Table& table) {
  if (!whole.bytes) return;
  const LaneOperand actual = loaded(planes, like), expected = rounded(loaded(whole, like), storage);
  if (actual.values != expected.values) {
    fail(std::string(what) + " is off in planes of dtype " + std::to_string(int(storage.dtype)) + ": " + c.name() +
         ", " + table.name);
  }
}

// Complex numbers in planes, some gates real: the bits of complex arrays of the same numbers, rounded.
void check_in_planes(LaneCase c, int main_input, Random& random) {
  static TestPool one(1);
  const Storage storage{random.one_of({DType::kF32, DType::kBF16, DType::kF16}), true};
  for (int i = 0; i < kMaxLaneInputs; ++i) {
    LaneOperand& o = c.in[i];
    o.is_real = i != main_input && random.chance(0.4);
    for (Complex& value : o.values) value = o.is_real ? value.real() : value;
    o = rounded(o, storage);
  }
  c.ct = rounded(c.ct, storage);
  const Arguments planes(c, storage), whole(c, {DType::kC64});
  for (const Table& table : tables()) {
    const Values of_planes(c, planes, table, one), of_whole(c, whole, table, one);
    const auto expect = [&](const char* what, const Stored& actual, const Stored& expected, const LaneOperand& like) {
      expect_rounded(what, actual, expected, like, c, storage, table);
    };
    expect("y", of_planes.y, of_whole.y, c.y());
    expect_rounded("final", of_planes.final_state, of_whole.final_state, c.final_state(), c, {DType::kC64}, table);
    const unsigned wanted = unsigned(random.bits());
    const Gradients in_planes(c, planes, table, wanted, one), in_whole(c, whole, table, wanted, one);
    for (int i = 0; i < kMaxLaneInputs; ++i) expect("gradient", in_planes.of[i], in_whole.of[i], c.in[i]);
    expect_rounded("dh0", in_planes.of[kMaxLaneInputs], in_whole.of[kMaxLaneInputs], c.h0, c, {DType::kC64}, table);
  }
}

void problems_in_planes(LaneOp op, int main_input, uint64_t seed, int count) {
  Random random(seed);
  for (int i = 0; i < count; ++i) check_in_planes(random_lane_case(op, DType::kC64, random), main_input, random);
}

void random_problems(LaneOp op, uint64_t seed, int count) {
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    const bool is_goom = op == LaneOp::kGoom;
    const DType dtype = is_goom ? random.one_of({DType::kC64, DType::kC128}) : DType(random.below(kNumDTypes));
    check(random_lane_case(op, dtype, random), random);
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm;
  using namespace cssm::testing;
  test("gated_scan", [] { random_problems(LaneOp::kGated, 1, 40); });
  test("matrix_scan", [] { random_problems(LaneOp::kMatrix, 2, 30); });
  test("delta_scan", [] { random_problems(LaneOp::kDelta, 3, 30); });
  test("goom_scan", [] { random_problems(LaneOp::kGoom, 4, 20); });
  test("coupled_scan", [] { random_problems(LaneOp::kCoupled, 8, 30); });
  test("gated_scan in planes", [] { problems_in_planes(LaneOp::kGated, 2, 5, 20); });
  test("matrix_scan in planes", [] { problems_in_planes(LaneOp::kMatrix, 1, 6, 10); });
  test("delta_scan in planes", [] { problems_in_planes(LaneOp::kDelta, 3, 7, 10); });
  return exit_status();
}
