// What tests set of the twin.
#include "cuda/simt/runtime.h"

namespace cssm::cuda {

GpuLimits pretended_limits = {227 << 10, 228 << 10, 1 << 10};
CssmTwinLaunchHook launch_hook = nullptr;

}  // namespace cssm::cuda

extern "C" {

void cssm_twin_set_launch_hook(CssmTwinLaunchHook hook) { cssm::cuda::launch_hook = hook; }
void cssm_twin_set_shared_memory(size_t per_block, size_t per_sm) {
  cssm::cuda::pretended_limits.shared_per_block = per_block;
  cssm::cuda::pretended_limits.shared_per_sm = per_sm;
}
void cssm_twin_set_last_thread_first(int yes) { cssm::cuda::simt::set_last_thread_first(yes); }
}
