// `cssm_cuda_record_event`: any operands -> the same, in place, with an event recorded on the stream in between: after
// all that makes the operands, before all that uses the results. What is timed depends on one and is depended on by
// another.
#include "cuda/events.h"

#include <cuda_runtime.h>

#include <map>
#include <mutex>

#include "cuda/ffi.h"

namespace cssm::cuda {
namespace {

std::mutex mutex;
// By slot; kept for the life of the process. An event belongs to the device that first recorded it.
std::map<int64_t, cudaEvent_t> events;

cudaEvent_t made_event(int64_t slot) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = events.find(slot);
  if (found != events.end()) return found->second;
  cudaEvent_t event;
  check(cudaEventCreate(&event), "making an event");
  return events[slot] = event;
}

cudaEvent_t recorded_event(int64_t slot) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = events.find(slot);
  if (found == events.end()) {
    throw std::invalid_argument("cssm_kernels: no event was recorded in slot " + std::to_string(slot));
  }
  return found->second;
}

ffi::Error record_event(Stream stream, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t slot) {
  return guarded("cssm.record_event", [&] {
    for (size_t i = 0; i < rets.size(); ++i) {
      const auto operand = args.get<ffi::AnyBuffer>(i);
      auto result = rets.get<ffi::AnyBuffer>(i);
      if (!operand.has_value() || !result.has_value() || operand->untyped_data() != (*result)->untyped_data()) {
        throw std::invalid_argument("cssm_kernels: an event's results have to be its operands, in place");
      }
    }
    check(cudaEventRecord(made_event(slot), stream), "recording an event");
  });
}

}  // namespace

float elapsed_ms(int64_t first, int64_t last) {
  const cudaEvent_t from = recorded_event(first), to = recorded_event(last);
  float ms = 0;
  check(cudaEventSynchronize(to), "waiting for an event");
  check(cudaEventElapsedTime(&ms, from, to), "taking the time between two events");
  return ms;
}

// Not kCmdBufferCompatible: an event recorded in a CUDA graph has no time.
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    cssm_cuda_record_event, record_event,
    ffi::Ffi::Bind().Ctx<StreamContext>().RemainingArgs().RemainingRets().Attr<int64_t>("slot"));

}  // namespace cssm::cuda
