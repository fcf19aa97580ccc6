// linear_scan by its definition, in complex<double>, with the error that each element of a kernel's result may have.
#pragma once

#include <complex>
#include <vector>

#include "scan_case.h"

namespace cssm::testing {

// Values and error bounds, row-major.
struct Reference {
  std::vector<std::complex<double>> value;
  std::vector<double> bound;
};

struct ForwardReference {
  Reference h, final_state;
};
// h_t = x_t where reset_t, else a_t h_{t-1} + x_t.
ForwardReference forward_reference(const ScanCase& c, const ScanInputs& in);

struct BackwardReference {
  Reference da, dx, dh0;
};
// g_t = ct_t + a_{t+1} g_{t+1}, cut where reset_{t+1}, ct_final added to g_T; dx = g; da_t = g_t h_{t-1}, 0 where
// reset_t, summed to the dims of a; dh0 = a_1 g_1, 0 where reset_1. No conjugates.
BackwardReference backward_reference(const ScanCase& c, const ScanInputs& in);

// Fails at the first element out of its bound (a NaN always is).
void expect_close(const char* name, const Array& got, const Reference& want, const ScanCase& c,
                  const std::string& table);

}  // namespace cssm::testing
