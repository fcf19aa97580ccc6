#include "kernel_tables.h"

#include <cstdlib>
#include <exception>
#include <utility>

namespace cssm::testing {
namespace {

using Table = const LinearScanKernels& (*)();

template <Table kTable, int kDType>
struct Streaming {
  static void forward(const ForwardBlock& block) {
    ForwardBlock streamed = block;
    streamed.stream = true;
    kTable().forward[kDType](streamed);
  }
  static void backward(const BackwardBlock& block) {
    BackwardBlock streamed = block;
    streamed.stream = true;
    kTable().backward[kDType](streamed);
  }
};

template <Table kTable, int kDType>
struct Counting {
  static void forward(const ForwardBlock& block) {
    ++(block.stream ? streaming_calls : plain_calls);
    kTable().forward[kDType](block);
  }
  static void backward(const BackwardBlock& block) {
    ++(block.stream ? streaming_calls : plain_calls);
    kTable().backward[kDType](block);
  }
};

template <template <Table, int> class Wrapper, Table kTable, int... kDTypes>
LinearScanKernels wrapped(std::integer_sequence<int, kDTypes...>) {
  return {{Wrapper<kTable, kDTypes>::forward...}, {Wrapper<kTable, kDTypes>::backward...}};
}

template <template <Table, int> class Wrapper>
std::vector<KernelTable> wrapped_tables() {
  constexpr auto kAll = std::make_integer_sequence<int, kNumDTypes>{};
  std::vector<KernelTable> tables;
#if defined(CSSM_X86_ISAS)
  if (machine_has(Isa::kAvx512)) tables.push_back({"avx512", wrapped<Wrapper, avx512::linear_scan_kernels>(kAll)});
  if (machine_has(Isa::kAvx2)) tables.push_back({"avx2", wrapped<Wrapper, avx2::linear_scan_kernels>(kAll)});
#endif
  tables.push_back({"baseline", wrapped<Wrapper, baseline::linear_scan_kernels>(kAll)});
  return tables;
}

}  // namespace

bool machine_has(Isa isa) {
  setenv("CSSM_KERNELS_ISA", isa_name(isa), 1);
  bool has = true;
  try {
    select_isa();
  } catch (const std::exception&) {
    has = false;
  }
  unsetenv("CSSM_KERNELS_ISA");
  return has;
}

std::vector<KernelTable> machine_tables() {
  std::vector<KernelTable> tables;
#if defined(CSSM_X86_ISAS)
  if (machine_has(Isa::kAvx512)) tables.push_back({"avx512", avx512::linear_scan_kernels()});
  if (machine_has(Isa::kAvx2)) tables.push_back({"avx2", avx2::linear_scan_kernels()});
#endif
  tables.push_back({"baseline", baseline::linear_scan_kernels()});
  return tables;
}

std::vector<KernelTable> streaming_tables() {
  std::vector<KernelTable> tables = wrapped_tables<Streaming>();
  for (KernelTable& table : tables) table.name += ", streaming";
  return tables;
}

KernelTable counting_table() { return wrapped_tables<Counting>().front(); }

}  // namespace cssm::testing
