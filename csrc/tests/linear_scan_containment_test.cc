// A NaN or an infinity in one lane reaches no other, and moves forward in time only (backward in the backward pass).
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "scan_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

bool is_nan(std::complex<double> z) { return std::isnan(z.real()) || std::isnan(z.imag()); }

bool same_lane(const ScanCase& c, Dims index, const Dims& other) {
  index[c.axis] = other[c.axis];
  return index == other;
}

// Steps from `from` to `to` in the direction of the recurrence.
int64_t steps_after(const ScanCase& c, const Dims& from, const Dims& to) {
  const int64_t steps = to[c.axis] - from[c.axis];
  return c.reverse ? -steps : steps;
}

// Elements for which `reached` is false have the bits of the clean result; where it is true and the poison is NaN, they
// are NaN.
void compare(const char* name, const Array& got, const Array& clean, double poison, const ScanCase& c,
             const std::string& table, const std::function<bool(const Dims&)>& reached) {
  Dims index(got.dims().size(), 0);
  int64_t i = 0;
  do {
    if (reached(index) ? std::isnan(poison) && !is_nan(got[i]) : !got.same_bits(clean, i)) {
      return fail(table + " " + c.describe() + ": " + name + to_string(index) +
                  (reached(index) ? " is not NaN" : " was reached by a poisoned element"));
    }
    ++i;
  } while (advance(index, got.dims()));
}

struct Poison {
  double value;
  Dims at;

  Array in(const Array& clean) const {
    Array array = clean.copy();
    array.set(position(clean.dims(), at), {value, is_complex(clean.dtype()) ? value : 0});
    return array;
  }
};

class Checker {
 public:
  Checker(const ScanCase& c, const ScanInputs& clean, const KernelTable& table, TestPool& pool)
      : c_(c), clean_(clean), table_(table), pool_(pool) {
    forward_ = run_forward(c, clean, table.kernels, pool);
    backward_ = run_backward(c, clean, table.kernels, pool);
  }

  // Poison in x (or a): h from that step on, up to a reset.
  void forward(ScanInputs& in, Array ScanInputs::* operand, const Poison& poison) {
    const Restored restored(in, operand, clean_, poison);
    const ForwardResult got = run_forward(c_, in, table_.kernels, pool_);
    const auto reached = [&](const Dims& index) {
      return same_lane(c_, index, poison.at) && steps_after(c_, poison.at, index) >= 0 &&
             !cut_between(poison.at, index, operand == &ScanInputs::a);
    };
    compare("h", got.h, forward_.h, poison.value, c_, table_.name, reached);
    Dims last = poison.at;
    last[c_.axis] = c_.reverse ? 0 : c_.shape[c_.axis] - 1;
    const auto final_reached = [&](const Dims& lane) { return same_lane(c_, lane, last) && reached(last); };
    Array final_state = got.final_state.copy();
    compare("final", final_state, forward_.final_state, poison.value, c_, table_.name, final_reached);
  }

  // Poison in ct: dx and da (where a is full) up to that step, down to a reset.
  void backward(ScanInputs& in, const Poison& poison) {
    const Restored restored(in, &ScanInputs::ct, clean_, poison);
    const BackwardResult got = run_backward(c_, in, table_.kernels, pool_);
    const auto reached = [&](const Dims& index) {
      return same_lane(c_, index, poison.at) && steps_after(c_, index, poison.at) >= 0 &&
             !cut_between(index, poison.at, false);
    };
    compare("dx", got.dx, backward_.dx, poison.value, c_, table_.name, reached);
    if (c_.a != c_.shape) return;
    compare("da", got.da, backward_.da, poison.value, c_, table_.name,
            [&](const Dims& index) { return reached(index) && !reset_at(index); });
  }

  // Poison in h: da of the next step, and nothing else.
  void through_h(ScanInputs& in, const Poison& poison) {
    const Restored restored(in, &ScanInputs::h, clean_, poison);
    const BackwardResult got = run_backward(c_, in, table_.kernels, pool_);
    compare("dx", got.dx, backward_.dx, poison.value, c_, table_.name, [](const Dims&) { return false; });
    if (c_.a != c_.shape) return;
    compare("da", got.da, backward_.da, poison.value, c_, table_.name, [&](const Dims& index) {
      return same_lane(c_, index, poison.at) && steps_after(c_, poison.at, index) == 1 && !reset_at(index);
    });
  }

 private:
  // An operand poisoned for the life of this object.
  class Restored {
   public:
    Restored(ScanInputs& in, Array ScanInputs::* operand, const ScanInputs& clean, const Poison& poison)
        : operand_(in.*operand), clean_(clean.*operand) {
      operand_ = poison.in(clean_);
    }
    ~Restored() { operand_ = clean_.copy(); }

   private:
    Array& operand_;
    const Array& clean_;
  };

  bool reset_at(const Dims& index) const { return clean_.reset && clean_.reset[position(c_.reset, index)]; }

  // A reset after `from`, up to and including `to`; at `from` too if what is poisoned there is not read under a reset.
  bool cut_between(Dims from, const Dims& to, bool inclusive) const {
    const int64_t steps = steps_after(c_, from, to);
    for (int64_t s = 0; s <= steps; ++s, from[c_.axis] += c_.reverse ? -1 : 1) {
      if ((s > 0 || inclusive) && reset_at(from)) return true;
    }
    return false;
  }

  const ScanCase& c_;
  const ScanInputs& clean_;
  const KernelTable& table_;
  TestPool& pool_;
  ForwardResult forward_;
  BackwardResult backward_;
};

ScanInputs copy(const ScanInputs& in, const ScanCase& c) {
  ScanInputs out;
  out.a = in.a.copy();
  out.x = in.x.copy();
  out.h = in.h.copy();
  out.ct = in.ct.copy();
  if (!c.h0.empty()) out.h0 = in.h0.copy();
  if (c.reset.empty()) return out;
  out.reset.reset(new uint8_t[size_t(product(c.reset))]);
  std::copy_n(in.reset.get(), product(c.reset), out.reset.get());
  return out;
}

void check_layout(const Dims& shape, int64_t axis) {
  Random random(uint64_t(axis) + 10);
  TestPool pool(2);
  for (const auto& tables : {machine_tables(), streaming_tables()}) {
    for (const KernelTable& table : tables) {
      for (int i = 0; i < 3 * kNumDTypes; ++i) {
        ScanCase c;
        c.dtype = DType(i % kNumDTypes);
        c.shape = c.x = c.a = shape;
        c.axis = axis;
        c.reverse = random.chance(0.5);
        const bool shared_a = random.chance(0.3);
        if (shared_a) c.a = Dims(shape.size(), 1);
        if (random.chance(0.5))
          c.reset = random.chance(0.5) ? shape : with_size(Dims(shape.size(), 1), axis, shape[axis]);
        if (random.chance(0.5)) c.h0 = c.state();
        c.wants_dh0 = true;
        const ScanInputs clean = random_inputs(c, random);
        ScanInputs in = copy(clean, c);
        Checker checker(c, clean, table, pool);
        for (double value : {kNaN, kInf}) {
          Poison poison{value, Dims(shape.size())};
          for (size_t d = 0; d < shape.size(); ++d) poison.at[d] = random.below(shape[d]);
          checker.forward(in, &ScanInputs::x, poison);
          checker.backward(in, poison);
          checker.through_h(in, poison);
          if (!shared_a) checker.forward(in, &ScanInputs::a, poison);
        }
      }
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("contiguous lanes", [] { check_layout({3, 7, 53}, 1); });
  test("time last", [] { check_layout({5, 9, 67}, 2); });
  test("time first, one long row", [] { check_layout({6, 301}, 0); });
  return exit_status();
}
