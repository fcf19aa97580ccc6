#include "spectral_tables.h"

#include "kernel_tables.h"

namespace cssm::testing {
namespace {

using Table = const SpectralKernels& (*)();

template <Table kTable, class C, SpectralKernelsOf<C> SpectralKernels::* kKernels>
void stream_rows_inverse(const FrameShape<C>& shape, PairRange pairs, const C* z, C scale, C* rows, int64_t pixel_step,
                         bool, C* scratch) {
  const SpectralKernelsOf<C>& kernels = kTable().*kKernels;
  kernels.rows_inverse(shape, pairs, z, scale, rows, pixel_step, true, scratch);
  kernels.fence();  // the driver, which did not ask, will not
}

template <Table kTable>
SpectralKernels streaming() {
  SpectralKernels kernels = kTable();
  kernels.f32.rows_inverse = stream_rows_inverse<kTable, float, &SpectralKernels::f32>;
  kernels.f64.rows_inverse = stream_rows_inverse<kTable, double, &SpectralKernels::f64>;
  return kernels;
}

}  // namespace

std::vector<SpectralTable> spectral_tables() {
  std::vector<SpectralTable> tables;
#if defined(CSSM_X86_ISAS)
  if (machine_has(Isa::kAvx512)) tables.push_back({"avx512", avx512::spectral_kernels()});
  if (machine_has(Isa::kAvx2)) tables.push_back({"avx2", avx2::spectral_kernels()});
#endif
  tables.push_back({"baseline", baseline::spectral_kernels()});
  return tables;
}

SpectralTable streaming_spectral_table() {
#if defined(CSSM_X86_ISAS)
  if (machine_has(Isa::kAvx512)) return {"avx512, streaming", streaming<avx512::spectral_kernels>()};
  if (machine_has(Isa::kAvx2)) return {"avx2, streaming", streaming<avx2::spectral_kernels>()};
#endif
  return {"baseline, streaming", streaming<baseline::spectral_kernels>()};
}

std::vector<SpectralTable> all_spectral_tables() {
  std::vector<SpectralTable> tables = spectral_tables();
  tables.push_back(streaming_spectral_table());
  return tables;
}

}  // namespace cssm::testing
