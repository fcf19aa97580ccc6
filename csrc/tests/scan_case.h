// A linear_scan problem with its buffers: exactly sized on the heap, so that AddressSanitizer sees any overrun, with
// outputs full of NaN, so that an element never written is never right.
#pragma once

#include <complex>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "cpu/linear_scan.h"
#include "random.h"

namespace cssm::testing {

int64_t product(const Dims& dims);
Dims with_size(Dims dims, int64_t axis, int64_t size);
std::string to_string(const Dims& dims);
const char* dtype_name(DType dtype);

// Odometer over the elements of a shape: moves to the next index, false after the last.
bool advance(Dims& index, const Dims& shape);
// Row-major position of an index in an operand with these dims, each full or 1.
int64_t position(const Dims& dims, const Dims& index);

// Half the distance from 1 to the next number.
inline double epsilon(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kC128: return 0x1p-53;
    case DType::kBF16: return 0x1p-9;
    case DType::kF16: return 0x1p-12;
    default: return 0x1p-24;
  }
}

// A row-major array. `shift` elements lie between a 64-byte boundary and the first.
class Array {
 public:
  Array() = default;
  Array(DType dtype, Dims dims, int64_t shift = 0);

  char* bytes() const { return first_; }
  const Dims& dims() const { return dims_; }
  DType dtype() const { return dtype_; }
  int64_t size() const { return product(dims_); }
  size_t num_bytes() const { return size_t(size()) * element_bytes(dtype_); }
  std::complex<double> operator[](int64_t i) const;
  void set(int64_t i, std::complex<double> value);

  Array copy() const;
  bool same_bits(const Array& other) const;
  bool same_bits(const Array& other, int64_t i) const;

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  DType dtype_ = DType::kF32;
  Dims dims_;
  std::unique_ptr<char, Free> allocation_;
  char* first_ = nullptr;
};

struct ScanCase {
  DType dtype;
  Dims shape;
  int64_t axis;
  bool reverse = false;
  Dims a, x, reset, h0;  // dims of operands; empty reset and h0: absent
  bool has_ct = true, has_ct_final = false, wants_da = true, wants_dh0 = false;
  int64_t shift = 0;

  Dims state() const { return with_size(shape, axis, 1); }
  std::string describe() const;
};

// Every field drawn at random, with sizes around the kernels' vectors, tiles and runs, and at most `max_elements`.
ScanCase random_case(Random& random, int64_t max_elements);

// Random operands. h is arbitrary, not the solution, so that the backward pass is tested alone.
struct ScanInputs {
  Array a, x, h0, h, ct, ct_final;
  Dims reset_dims;
  std::unique_ptr<uint8_t[]> reset;
};
ScanInputs random_inputs(const ScanCase& c, Random& random);

struct ForwardResult {
  Array h, final_state;
};
ForwardResult run_forward(const ScanCase& c, const ScanInputs& in, const LinearScanKernels& kernels, ThreadPool& pool);

// da and dh0 are empty where not wanted.
struct BackwardResult {
  Array da, dx, dh0;
};
BackwardResult run_backward(const ScanCase& c, const ScanInputs& in, const LinearScanKernels& kernels,
                            ThreadPool& pool);

}  // namespace cssm::testing
