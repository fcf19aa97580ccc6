// What a profiled Python program tells the profiler: when to look, and names on its timeline.
#pragma once

#include <cuda_profiler_api.h>

#include "runtime.h"

namespace cssm::cuda {

// The span that `nsys profile --capture-range=cudaProfilerApi` records.
inline void profiler_start() { check(cudaProfilerStart(), "starting the profiler"); }
inline void profiler_stop() { check(cudaProfilerStop(), "stopping the profiler"); }

inline void range_push(const std::string& name) { nvtxRangePushA(name.c_str()); }
inline void range_pop() { nvtxRangePop(); }

}  // namespace cssm::cuda
