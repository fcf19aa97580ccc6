#include "scan_case.h"

#include <cstdio>
#include <cstring>
#include <new>

#include "common/half.h"

namespace cssm::testing {
namespace {

constexpr size_t kLine = 64;

template <class T>
T read(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <class T>
void write(char* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

Dims ones(const Dims& shape) { return Dims(shape.size(), 1); }

// Each dimension full or 1; all full in half of the cases.
Dims random_broadcast(const Dims& shape, Random& random) {
  Dims dims = shape;
  if (random.chance(0.5)) return dims;
  for (int64_t& size : dims) {
    if (random.chance(0.5)) size = 1;
  }
  return dims;
}

Array random_array(DType dtype, const Dims& dims, double magnitude, const ScanCase& c, Random& random) {
  Array array(dtype, dims, c.shift);
  for (int64_t i = 0; i < array.size(); ++i) {
    const double re = random.uniform(-magnitude, magnitude);
    array.set(i, {re, is_complex(dtype) ? random.uniform(-magnitude, magnitude) : 0});
  }
  return array;
}

LinearScanProblem problem(const ScanCase& c, const ScanInputs& in) {
  LinearScanProblem p{};
  p.dtype = c.dtype;
  p.shape = c.shape;
  p.axis = c.axis;
  p.reverse = c.reverse;
  p.a = in.a.bytes();
  p.a_dims = c.a;
  p.reset = in.reset.get();
  p.reset_dims = c.reset.empty() ? ones(c.shape) : c.reset;
  p.h0 = in.h0.bytes();
  p.h0_dims = c.h0.empty() ? ones(c.shape) : c.h0;
  return p;
}

Array poisoned(DType dtype, const Dims& dims, const ScanCase& c) {
  Array array(dtype, dims, c.shift);
  std::memset(array.bytes(), 0xff, array.num_bytes());
  return array;
}

}  // namespace

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (int64_t size : dims) n *= size;
  return n;
}

Dims with_size(Dims dims, int64_t axis, int64_t size) {
  dims[axis] = size;
  return dims;
}

std::string to_string(const Dims& dims) {
  std::string out = "(";
  for (int64_t size : dims) out += std::to_string(size) + ",";
  return out + ")";
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "float32";
    case DType::kF64: return "float64";
    case DType::kC64: return "complex64";
    case DType::kC128: return "complex128";
    case DType::kBF16: return "bfloat16";
    case DType::kF16: return "float16";
  }
  return "unknown";
}

bool advance(Dims& index, const Dims& shape) {
  for (size_t d = shape.size(); d-- > 0;) {
    if (++index[d] < shape[d]) return true;
    index[d] = 0;
  }
  return false;
}

int64_t position(const Dims& dims, const Dims& index) {
  int64_t at = 0;
  for (size_t d = 0; d < dims.size(); ++d) at = at * dims[d] + (dims[d] == 1 ? 0 : index[d]);
  return at;
}

Array::Array(DType dtype, Dims dims, int64_t shift) : dtype_(dtype), dims_(std::move(dims)) {
  const size_t before = size_t(shift) * element_bytes(dtype);
  void* allocated = nullptr;
  if (posix_memalign(&allocated, kLine, before + num_bytes()) != 0) throw std::bad_alloc();
  allocation_.reset(static_cast<char*>(allocated));
  first_ = allocation_.get() + before;
}

std::complex<double> Array::operator[](int64_t i) const {
  const char* from = first_ + i * int64_t(element_bytes(dtype_));
  switch (dtype_) {
    case DType::kF32: return read<float>(from);
    case DType::kF64: return read<double>(from);
    case DType::kC64: return read<std::complex<float>>(from);
    case DType::kC128: return read<std::complex<double>>(from);
    case DType::kBF16: return widened<float>(read<BF16Storage>(from));
    case DType::kF16: return widened<float>(read<F16Storage>(from));
  }
  return 0;
}

void Array::set(int64_t i, std::complex<double> value) {
  char* to = first_ + i * int64_t(element_bytes(dtype_));
  switch (dtype_) {
    case DType::kF32: return write(to, float(value.real()));
    case DType::kF64: return write(to, value.real());
    case DType::kC64: return write(to, std::complex<float>(value));
    case DType::kC128: return write(to, value);
    case DType::kBF16: return write(to, narrowed<BF16Storage>(float(value.real())));
    case DType::kF16: return write(to, narrowed<F16Storage>(float(value.real())));
  }
}

Array Array::copy() const {
  Array other(dtype_, dims_);
  std::memcpy(other.first_, first_, num_bytes());
  return other;
}

bool Array::same_bits(const Array& other) const {
  return dims_ == other.dims_ && (!first_ || std::memcmp(first_, other.first_, num_bytes()) == 0);
}

bool Array::same_bits(const Array& other, int64_t i) const {
  const size_t bytes = element_bytes(dtype_);
  return std::memcmp(first_ + i * int64_t(bytes), other.first_ + i * int64_t(bytes), bytes) == 0;
}

std::string ScanCase::describe() const {
  std::string out = std::string(dtype_name(dtype)) + to_string(shape) + " axis " + std::to_string(axis);
  if (reverse) out += " reverse";
  out += " a" + to_string(a) + " x" + to_string(x);
  if (!reset.empty()) out += " reset" + to_string(reset);
  if (!h0.empty()) out += " h0" + to_string(h0);
  for (const auto& [given, name] : {std::pair(has_ct, " ct"), std::pair(has_ct_final, " ct_final"),
                                    std::pair(wants_da, " da"), std::pair(wants_dh0, " dh0")}) {
    if (given) out += name;
  }
  return out + " shift " + std::to_string(shift);
}

ScanCase random_case(Random& random, int64_t max_elements) {
  ScanCase c;
  c.dtype = DType(random.below(kNumDTypes));
  do {
    c.shape.resize(size_t(1 + random.below(4)));
    for (int64_t& size : c.shape) {
      size = random.chance(0.85)
                 ? random.one_of<int64_t>({1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 33, 63, 64, 65, 129})
                 : random.one_of<int64_t>({127, 128, 257, 511, 513, 1023, 1025, 2049, 4099, 8193});
    }
  } while (product(c.shape) > max_elements);
  c.axis = random.below(int64_t(c.shape.size()));
  c.reverse = random.chance(0.5);
  c.a = random_broadcast(c.shape, random);
  c.x = random.chance(0.7) ? c.shape : random_broadcast(c.shape, random);
  if (random.chance(0.4)) {
    c.reset = random_broadcast(c.shape, random);
    if (random.chance(0.5)) c.reset = with_size(ones(c.shape), c.axis, c.shape[c.axis]);  // one flag a step
  }
  if (random.chance(0.5)) c.h0 = random_broadcast(c.state(), random);
  c.has_ct = random.chance(0.8);
  c.has_ct_final = random.chance(0.5);
  c.wants_da = random.chance(0.75);
  c.wants_dh0 = random.chance(0.5);
  c.shift = random.one_of<int64_t>({0, 0, 1, 3});
  return c;
}

ScanInputs random_inputs(const ScanCase& c, Random& random) {
  ScanInputs in;
  in.a = random_array(c.dtype, c.a, is_complex(c.dtype) ? 0.75 : 1.0, c, random);
  in.x = random_array(c.dtype, c.x, 1, c, random);
  in.h = random_array(c.dtype, c.shape, 1, c, random);
  const DType state = state_dtype(c.dtype);
  if (!c.h0.empty()) in.h0 = random_array(state, c.h0, 1, c, random);
  if (c.has_ct) in.ct = random_array(c.dtype, c.shape, 1, c, random);
  if (c.has_ct_final) in.ct_final = random_array(state, c.state(), 1, c, random);
  if (!c.reset.empty()) {
    in.reset.reset(new uint8_t[size_t(product(c.reset))]);
    for (int64_t i = 0; i < product(c.reset); ++i) in.reset[i] = random.chance(0.2);
  }
  return in;
}

ForwardResult run_forward(const ScanCase& c, const ScanInputs& in, const LinearScanKernels& kernels, ThreadPool& pool) {
  ForwardResult out{poisoned(c.dtype, c.shape, c), poisoned(state_dtype(c.dtype), c.state(), c)};
  linear_scan_forward(problem(c, in), {in.x.bytes(), c.x, out.h.bytes(), out.final_state.bytes()}, kernels, pool);
  return out;
}

BackwardResult run_backward(const ScanCase& c, const ScanInputs& in, const LinearScanKernels& kernels,
                            ThreadPool& pool) {
  BackwardResult out;
  out.dx = poisoned(c.dtype, c.shape, c);
  if (c.wants_da) out.da = poisoned(c.dtype, c.a, c);
  if (c.wants_dh0) out.dh0 = poisoned(state_dtype(c.dtype), c.state(), c);
  LinearScanBackward b{};
  b.h = c.wants_da ? in.h.bytes() : nullptr;
  b.ct = in.ct.bytes();
  b.ct_final = in.ct_final.bytes();
  b.da = out.da.bytes();
  b.dx = out.dx.bytes();
  b.dh0 = out.dh0.bytes();
  linear_scan_backward(problem(c, in), b, kernels, pool);
  return out;
}

}  // namespace cssm::testing
