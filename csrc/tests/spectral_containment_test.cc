// A NaN in one channel of a spectral_scan reaches no other channel and no other batch element, and moves forward in
// time only, up to a reset (backward in the backward pass). A frame that is copied is reached at that pixel alone.
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "spectral_case.h"
#include "spectral_tables.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// What is poisoned, or asked after: a step in the order of the scan, or none in what has no time.
struct Place {
  int64_t batch, step, channel, element = 0;
};

// For one poisoning.
class Checker {
 public:
  Checker(const SpectralCase& c, const SpectralTable& table, TestPool& pool, uint64_t seed)
      : c_(c), table_(table), pool_(pool) {
    Random random(seed);
    in_ = random_inputs(c, random);
    forward_ = run_forward(c, in_, table.kernels, pool);
    backward_ = run_backward(c, in_, forward_.checkpoints, table.kernels, pool);
  }

  // In x: y from that step on; no dx, which does not depend on x; dk of its channel.
  void through_x(const Place& at, Random& random) {
    const int64_t poisoned = element(at, random);
    in_.x.set(poisoned, kNaN);
    const SpectralForwardResult f = run_forward(c_, in_, table_.kernels, pool_);
    const auto reached = [&](const Place& p) { return same_lane(p, at) && p.step >= at.step && !cut(at, p); };
    const bool copied = reset(at.batch, at.step);
    compare("y", f.y, forward_.y, true,
            [&](const Place& p) { return reached(p) && (p.step > at.step || !copied || p.element == poisoned); });
    compare("final", f.final_state, forward_.final_state, false,
            [&](const Place& p) { return reached({p.batch, c_.steps - 1, p.channel}); });
    const SpectralBackwardResult b = run_backward(c_, in_, f.checkpoints, table_.kernels, pool_);
    compare("dx", b.dx, backward_.dx, true, [](const Place&) { return false; });
    compare("dh0", b.dh0, backward_.dh0, false, [](const Place&) { return false; });
    // The state that is NaN is multiplied by k at the next step, if there is one and no reset.
    compare("dk", b.dk, backward_.dk, false,
            [&](const Place& p) { return same_lane(p, at) && !reset(at.batch, at.step + 1); });
  }

  // In ct: dx up to that step; dk of its channel, unless p is cut off before it meets a state.
  void through_ct(const Place& at, Random& random) {
    const int64_t poisoned = element(at, random);
    in_.ct.set(poisoned, kNaN);
    const SpectralBackwardResult b = run_backward(c_, in_, forward_.checkpoints, table_.kernels, pool_);
    const auto reached = [&](const Place& p) { return same_lane(p, at) && p.step <= at.step && !cut(p, at); };
    const bool copied = at.step + 1 < c_.steps && reset(at.batch, at.step + 1);  // there is a final state's cotangent
    compare("dx", b.dx, backward_.dx, true,
            [&](const Place& p) { return reached(p) && (p.step < at.step || !copied || p.element == poisoned); });
    compare("dk", b.dk, backward_.dk, false,
            [&](const Place& p) { return same_lane(p, at) && !reset(at.batch, at.step); });
    compare("dh0", b.dh0, backward_.dh0, false,
            [&](const Place& p) { return reached({p.batch, 0, p.channel}) && !reset(p.batch, 0); });
  }

 private:
  static bool same_lane(const Place& a, const Place& b) { return a.batch == b.batch && a.channel == b.channel; }
  bool reset(int64_t batch, int64_t step) const {
    return step >= c_.steps || in_.reset[size_t(batch * c_.steps + c_.time(step))];
  }
  // A reset after `from`, up to and including `to`.
  bool cut(const Place& from, const Place& to) const {
    for (int64_t step = from.step + 1; step <= to.step; ++step) {
      if (reset(from.batch, step)) return true;
    }
    return false;
  }

  // Of some pixel of the frame.
  int64_t element(const Place& at, Random& random) const {
    const int64_t pixels = c_.height * c_.width;
    return ((at.batch * c_.steps + c_.time(at.step)) * pixels + random.below(pixels)) * c_.channels + at.channel;
  }

  // Elements for which `reached` is false have the bits of the clean result, and are finite; others are NaN.
  void compare(const char* name, const Array& got, const Array& clean, bool has_time,
               const std::function<bool(const Place&)>& reached) const {
    const int64_t steps = has_time ? c_.steps : 1, frame = got.size() / (product(c_.batch) * steps);
    for (int64_t i = 0; i < got.size(); ++i) {
      const int64_t step = i / frame % steps;
      const Place place{i / frame / steps, has_time ? c_.time(step) : 0, i % c_.channels, i};
      const bool is_nan = std::isnan(got[i].real()) || std::isnan(got[i].imag());
      if (reached(place) ? is_nan : !is_nan && got.same_bits(clean, i)) continue;
      return fail(table_.name + " " + c_.describe() + ": " + name + "[" + std::to_string(i) + "]" +
                  (reached(place) ? " is not NaN" : " was reached by a NaN"));
    }
  }

  const SpectralCase& c_;
  const SpectralTable& table_;
  TestPool& pool_;
  SpectralInputs in_;
  SpectralForwardResult forward_;
  SpectralBackwardResult backward_;
};

void check_size(int64_t height, int64_t width) {
  Random random(uint64_t(100 * height + width));
  TestPool pool(2);
  for (const SpectralTable& table : all_spectral_tables()) {
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kF16}) {
      for (const int64_t channels : {3, 16, 21}) {
        SpectralCase c = spectral_case({2}, 7, height, width, channels);
        c.dtype = dtype;
        c.spacing = 3;
        c.reverse = random.chance(0.5);
        c.has_h0 = c.has_reset = c.has_ct_final = c.wants_dh0 = true;
        for (int i = 0; i < 2; ++i) {
          const uint64_t seed = random.bits();
          const Place at{random.below(2), random.below(c.steps), random.below(channels)};
          Checker(c, table, pool, seed).through_x(at, random);
          Checker(c, table, pool, seed).through_ct(at, random);
        }
      }
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("even sizes", [] { check_size(6, 8); });
  test("odd sizes", [] { check_size(5, 7); });
  return exit_status();
}
