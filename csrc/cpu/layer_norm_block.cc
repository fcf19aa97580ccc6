#include "cpu/layer_norm_block.h"

#include "common/simd.h"
#include "cpu/vector_math.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

constexpr int kRowsAtOnce = kNormRowsAtOnce;
// Rows whose sums run in the type computed in before they are added to those in double.
constexpr int64_t kSummedRows = 128;

template <class C>
struct Lanes {
  static constexpr int V = kVectorBytes / sizeof(C);
  using Vector = Vec<C, V>;
  using Math = VectorMath<C, V>;
  using Bits = Vec<typename MathConstants<C>::Bits, V>;

  // The lanes below `count`; zero in the others.
  static CSSM_INLINE Vector kept(Vector value, int64_t count) {
    Bits lane{};
    for (int i = 0; i < V; ++i) lane[i] = i;
    return lane < typename MathConstants<C>::Bits(count) ? value : Vector{};
  }

  template <class S>
  static __attribute__((noinline)) Vector load_some(const S* from, int64_t count) {
    Vector value{};
    for (int64_t i = 0; i < count; ++i) value[i] = load<C, 1>(from + i)[0];
    return value;
  }
  template <class S>
  static __attribute__((noinline)) void store_some(S* to, Vector value, int64_t count) {
    for (int64_t i = 0; i < count; ++i) store<C, 1>(to + i, Vec<C, 1>{value[i]});
  }
};

template <class V>
struct ValueAndSlope {
  V value, slope;
};

template <class C>
struct None {
  using V = typename Lanes<C>::Vector;
  static CSSM_INLINE V value(V x) { return x; }
  static CSSM_INLINE ValueAndSlope<V> both(V x) { return {x, V{} + C(1)}; }
};

// x (1 + tanh u) / 2 = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
template <class C>
struct Gelu {
  using V = typename Lanes<C>::Vector;
  static constexpr C kSlope = C(1.5957691216057308), kCube = C(0.044715);  // 2 sqrt(2 / pi)
  static CSSM_INLINE V gate(V x, V square) {
    return C(1) / (C(1) + Lanes<C>::Math::exp(x * (square * (-kSlope * kCube) - kSlope)));
  }
  static CSSM_INLINE V value(V x) { return x * gate(x, x * x); }
  static CSSM_INLINE ValueAndSlope<V> both(V x) {
    const V square = x * x, g = gate(x, square), value = x * g;
    return {value, g + value * (C(1) - g) * (square * (3 * kSlope * kCube) + kSlope)};
  }
};

// log(1 + exp x) = max(x, 0) + log1p(e), e = exp(-|x|); log1p(e) = log(w) e / (w - 1) makes up for what w = 1 + e
// rounds.
template <class C>
struct Softplus {
  using V = typename Lanes<C>::Vector;
  static CSSM_INLINE V small_power(V x) { return Lanes<C>::Math::exp(x < C(0) ? x : -x); }
  static CSSM_INLINE V value_of(V x, V e) {
    const V w = e + C(1), rounded = w - C(1);
    const V tail = rounded == C(0) ? e : Lanes<C>::Math::log(w) * (e / rounded);
    return (x > C(0) ? x : V{}) + tail;
  }
  static CSSM_INLINE V value(V x) { return value_of(x, small_power(x)); }
  static CSSM_INLINE ValueAndSlope<V> both(V x) {
    const V e = small_power(x);
    return {value_of(x, e), (x < C(0) ? e : V{} + C(1)) / (C(1) + e)};
  }
};

template <class C>
struct Relu {
  using V = typename Lanes<C>::Vector;
  static CSSM_INLINE V value(V x) { return x < C(0) ? V{} : x; }  // a NaN stays one
  static CSSM_INLINE ValueAndSlope<V> both(V x) { return {value(x), x > C(0) ? V{} + C(1) : V{}}; }
};

template <class S, class C, template <class> class Act>
struct Norm {
  using L = Lanes<C>;
  static constexpr int V = L::V;
  using Vector = typename L::Vector;

  // Channels padded to whole vectors.
  static int64_t padded(int64_t channels) { return (channels + V - 1) / V * V; }

  // body(channel, lanes of the vector that are channels, whether all are)
  template <class Body>
  static CSSM_INLINE void for_each_vector(int64_t channels, Body&& body) {
    int64_t c = 0;
    for (; c + V <= channels; c += V) body(c, int64_t(V), std::true_type{});
    if (c < channels) body(c, channels - c, std::false_type{});
  }
  template <bool kWhole, class From>
  static CSSM_INLINE Vector get(const From* from, int64_t count, std::bool_constant<kWhole>) {
    if constexpr (kWhole) return load<C, V>(from);
    return L::load_some(from, count);
  }
  template <bool kWhole>
  static CSSM_INLINE void put(S* to, Vector value, int64_t count, std::bool_constant<kWhole>) {
    if constexpr (kWhole) return store<C, V>(to, value);
    L::store_some(to, value, count);
  }
  template <bool kWhole>
  static CSSM_INLINE Vector kept(Vector value, int64_t count, std::bool_constant<kWhole>) {
    if constexpr (kWhole) return value;
    return L::kept(value, count);
  }

  // (z - mean z), zero past the channels, in place of the z in `rows`, whose sums are given; returns 1 / sqrt(var +
  // eps).
  template <int R>
  static CSSM_INLINE void centre(const NormRows& b, C* rows, const Vector (&sums)[R], C (&scales)[R]) {
    const C share = C(1) / C(b.channels);
    const int64_t width = padded(b.channels);
    C means[R];
    Vector squares[R] = {};
    for (int r = 0; r < R; ++r) means[r] = sum_of_lanes<C, L::V>(sums[r]) * share;
    for_each_vector(b.channels, [&](int64_t c, int64_t count, auto whole) CSSM_INLINE_BODY {
      for (int r = 0; r < R; ++r) {
        C* const at = rows + r * width + c;
        const Vector d = kept(load<C, V>(at) - means[r], count, whole);
        store<C, V>(at, d);
        squares[r] += d * d;
      }
    });
    for (int r = 0; r < R; ++r) scales[r] = C(1) / std_of(sum_of_lanes<C, L::V>(squares[r]) * share + C(b.eps));
  }
  static CSSM_INLINE C std_of(float variance) { return __builtin_sqrtf(variance); }
  static CSSM_INLINE C std_of(double variance) { return __builtin_sqrt(variance); }

  template <int R>
  static CSSM_INLINE void forward_rows(const NormForward& b, const S* x, S* y) {
    const int64_t width = padded(b.channels);
    C* const rows = static_cast<C*>(b.scratch);
    const C* const scale = reinterpret_cast<const C*>(b.scale);
    const C* const bias = reinterpret_cast<const C*>(b.bias);
    Vector sums[R] = {};
    for_each_vector(b.channels, [&](int64_t c, int64_t count, auto whole) CSSM_INLINE_BODY {
      for (int r = 0; r < R; ++r) {
        const Vector z = kept(Act<C>::value(get(x + r * b.channels + c, count, whole)), count, whole);
        store<C, V>(rows + r * width + c, z);
        sums[r] += z;
      }
    });
    C scales[R];
    centre(b, rows, sums, scales);
    for_each_vector(b.channels, [&](int64_t c, int64_t count, auto whole) CSSM_INLINE_BODY {
      const Vector weight = scale ? get(scale + c, count, whole) : Vector{} + C(1);
      const Vector shift = bias ? get(bias + c, count, whole) : Vector{};
      for (int r = 0; r < R; ++r) {
        const Vector d = load<C, V>(rows + r * width + c);
        put(y + r * b.channels + c, d * (weight * scales[r]) + shift, count, whole);
      }
    });
  }

  static void forward(const NormForward& b) {
    const S* x = reinterpret_cast<const S*>(b.x);
    S* y = reinterpret_cast<S*>(b.y);
    int64_t row = 0;
    for (; row + kRowsAtOnce <= b.rows; row += kRowsAtOnce) {
      forward_rows<kRowsAtOnce>(b, x + row * b.channels, y + row * b.channels);
    }
    for (; row < b.rows; ++row) forward_rows<1>(b, x + row * b.channels, y + row * b.channels);
  }

  // Scratch: rows of centred z, of slopes and of ct * scale, then the two running sums.
  template <int R>
  static CSSM_INLINE void backward_rows(const NormBackward& b, const S* x, const S* ct, S* dx) {
    const int64_t width = padded(b.channels);
    C* const rows = static_cast<C*>(b.scratch);
    C* const slopes = rows + kRowsAtOnce * width;
    C* const scaled = slopes + kRowsAtOnce * width;
    C* const scale_sums = scaled + kRowsAtOnce * width;
    C* const bias_sums = scale_sums + width;
    const C* const scale = reinterpret_cast<const C*>(b.scale);
    Vector sums[R] = {};
    for_each_vector(b.channels, [&](int64_t c, int64_t count, auto whole) CSSM_INLINE_BODY {
      for (int r = 0; r < R; ++r) {
        const auto z = Act<C>::both(get(x + r * b.channels + c, count, whole));
        const Vector value = kept(z.value, count, whole);
        store<C, V>(rows + r * width + c, value);
        store<C, V>(slopes + r * width + c, z.slope);
        sums[r] += value;
      }
    });
    C scales[R];
    centre(b, rows, sums, scales);
    Vector means[R] = {}, products[R] = {};
    for_each_vector(b.channels, [&](int64_t c, int64_t count, auto whole) CSSM_INLINE_BODY {
      const Vector weight = scale ? get(scale + c, count, whole) : Vector{} + C(1);
      Vector scale_sum = load<C, V>(scale_sums + c), bias_sum = load<C, V>(bias_sums + c);
      for (int r = 0; r < R; ++r) {
        C* const at = rows + r * width + c;
        const Vector g = get(ct + r * b.channels + c, count, whole);
        const Vector normal = load<C, V>(at) * scales[r], gs = kept(g * weight, count, whole);
        store<C, V>(at, normal);
        store<C, V>(scaled + r * width + c, gs);
        means[r] += gs;
        products[r] += gs * normal;
        scale_sum += g * normal;
        bias_sum += g;
      }
      store<C, V>(scale_sums + c, scale_sum);
      store<C, V>(bias_sums + c, bias_sum);
    });
    if (!b.dx) return;
    const C share = C(1) / C(b.channels);
    C of_means[R], of_products[R];
    for (int r = 0; r < R; ++r) {
      of_means[r] = sum_of_lanes<C, L::V>(means[r]) * share;
      of_products[r] = sum_of_lanes<C, L::V>(products[r]) * share;
    }
    for_each_vector(b.channels, [&](int64_t c, int64_t count, auto whole) CSSM_INLINE_BODY {
      for (int r = 0; r < R; ++r) {
        const int64_t at = r * width + c;
        const Vector centred = load<C, V>(scaled + at) - of_means[r] - load<C, V>(rows + at) * of_products[r];
        put(dx + r * b.channels + c, centred * load<C, V>(slopes + at) * scales[r], count, whole);
      }
    });
  }

  static void backward(const NormBackward& b) {
    const S* const x = reinterpret_cast<const S*>(b.x);
    const S* const ct = reinterpret_cast<const S*>(b.ct);
    S* const dx = reinterpret_cast<S*>(b.dx);
    const int64_t width = padded(b.channels);
    C* const sums = static_cast<C*>(b.scratch) + 3 * kRowsAtOnce * width;
    for (int64_t begin = 0; begin < b.rows; begin += kSummedRows) {
      const int64_t end = begin + kSummedRows < b.rows ? begin + kSummedRows : b.rows;
      for (int64_t i = 0; i < 2 * width; ++i) sums[i] = 0;
      int64_t row = begin;
      for (; row + kRowsAtOnce <= end; row += kRowsAtOnce) {
        const int64_t at = row * b.channels;
        backward_rows<kRowsAtOnce>(b, x + at, ct + at, dx ? dx + at : nullptr);
      }
      for (; row < end; ++row) {
        const int64_t at = row * b.channels;
        backward_rows<1>(b, x + at, ct + at, dx ? dx + at : nullptr);
      }
      if (!b.scale_sums) continue;
      for (int64_t c = 0; c < b.channels; ++c) {
        b.scale_sums[c] += sums[c];
        b.bias_sums[c] += sums[width + c];
      }
    }
  }
};

template <class S, class C>
constexpr void set(NormKernels& kernels, DType dtype) {
  auto& forward = kernels.forward[int(dtype)];
  auto& backward = kernels.backward[int(dtype)];
  forward[int(Activation::kNone)] = Norm<S, C, None>::forward;
  forward[int(Activation::kGelu)] = Norm<S, C, Gelu>::forward;
  forward[int(Activation::kSoftplus)] = Norm<S, C, Softplus>::forward;
  forward[int(Activation::kRelu)] = Norm<S, C, Relu>::forward;
  backward[int(Activation::kNone)] = Norm<S, C, None>::backward;
  backward[int(Activation::kGelu)] = Norm<S, C, Gelu>::backward;
  backward[int(Activation::kSoftplus)] = Norm<S, C, Softplus>::backward;
  backward[int(Activation::kRelu)] = Norm<S, C, Relu>::backward;
}

constexpr NormKernels all_kernels() {
  NormKernels kernels{};
  set<float, float>(kernels, DType::kF32);
  set<double, double>(kernels, DType::kF64);
  set<BFloat16, float>(kernels, DType::kBF16);
  set<Float16, float>(kernels, DType::kF16);
  return kernels;
}

}  // namespace

const NormKernels& norm_kernels() {
  static constexpr NormKernels kernels = all_kernels();
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
