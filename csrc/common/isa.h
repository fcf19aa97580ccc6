// The instruction set this process runs: the best the machine has, or CSSM_KERNELS_ISA if that is set.
#pragma once

namespace cssm {

enum class Isa : int { kBaseline, kAvx2, kAvx512 };

// Throws std::runtime_error if CSSM_KERNELS_ISA names a set that is unknown or that this machine lacks.
Isa select_isa();
const char* isa_name(Isa isa);

}  // namespace cssm
