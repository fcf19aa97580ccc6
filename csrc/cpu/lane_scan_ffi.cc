// XLA FFI handlers of the recurrences over lanes. Operands in order, those `present` (a bit each): the inputs, h0,
// reset, and backward ct, ct_final. Results: forward (y, final), backward the gradients of those `wanted` (inputs, h0).
// Of those that are `split` (a bit each) there are two buffers: real and imaginary parts.
#include <algorithm>

#include "cpu/ffi.h"
#include "cpu/lane_scan.h"

namespace cssm {
namespace {

constexpr int kMostArguments = kMaxLaneInputs + 4;

// By LaneOp: how many inputs there are, and which has the dtype of the result.
constexpr int kInputCount[kNumLaneOps] = {4, 2, 5, 2, 5};
constexpr int kMainInput[kNumLaneOps] = {2, 1, 3, 1, 2};

struct Call {
  int64_t op, option, axis, lane_rank, row_axis, size0, size1;
  bool reverse;
  int64_t present, split;
};

struct Arguments {
  LaneScanProblem problem;
  LaneArray ct, ct_final;
  bool empty = false;
};

Arguments arguments(const Call& call, Operands& args) {
  Arguments out{};
  LaneScanProblem& p = out.problem;
  p.op = LaneOp(call.op);
  p.option = int(call.option);
  p.axis = call.axis;
  p.reverse = call.reverse;
  p.sizes[0] = p.state_rows = call.size0;
  p.sizes[1] = p.state_columns = call.size1;
  if (p.op == LaneOp::kDelta) std::swap(p.state_rows, p.state_columns);
  p.shape = Dims(call.lane_rank, 1);
  const int inputs = kInputCount[call.op];
  LaneArray* arrays[kMostArguments];
  for (int i = 0; i < inputs; ++i) arrays[i] = &p.in[i];
  LaneArray* const rest[] = {&p.h0, &p.reset, &out.ct, &out.ct_final};
  std::copy(std::begin(rest), std::end(rest), arrays + inputs);
  for (int i = 0; i < inputs + 4; ++i) {
    if (!(call.present >> i & 1)) continue;
    const Buffer buffer = args.next();
    const bool is_flags = arrays[i] == &p.reset;
    *arrays[i] = lane_array(buffer.data, is_flags ? DType::kF32 : buffer.dtype(), buffer.dims, call.lane_rank,
                            is_flags ? -1 : call.row_axis);
    if (call.split >> i & 1) arrays[i]->imaginary = args.next().out();
    out.empty = out.empty || buffer.empty();
    for (int64_t d = 0; d < call.lane_rank; ++d) p.shape[d] = std::max(p.shape[d], arrays[i]->dims[d]);
  }
  out.ct.conjugated = true;
  const LaneArray& main = p.in[kMainInput[call.op]];
  p.dtype = main.imaginary ? DType::kC64 : main.dtype;
  return out;
}

LaneArray result(const Call& call, Results& rets, bool is_split) {
  const Buffer buffer = rets.next();
  LaneArray array = lane_array(buffer.out(), buffer.dtype(), buffer.dims, call.lane_rank, call.row_axis);
  if (is_split) array.imaginary = rets.next().out();
  return array;
}

ffi::Error forward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t op,
                   int64_t option, int64_t axis, bool reverse, int64_t lane_rank, int64_t row_axis, int64_t size0,
                   int64_t size1, int64_t present, int64_t split) {
  return guarded([&] {
    const Call call{op, option, axis, lane_rank, row_axis, size0, size1, reverse, present, split};
    Operands args(xla_args);
    Results rets(xla_rets);
    const LaneArray y = result(call, rets, split >> kMainInput[op] & 1), final_state = result(call, rets, false);
    const Arguments in = arguments(call, args);
    if (in.empty) return rets.zero_all();
    XlaThreadPool pool(xla_pool);
    lane_scan_forward(in.problem, {y, final_state}, native_kernels().lanes, pool);
  });
}

ffi::Error backward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t op,
                    int64_t option, int64_t axis, bool reverse, int64_t lane_rank, int64_t row_axis, int64_t size0,
                    int64_t size1, int64_t present, int64_t split, int64_t wanted) {
  return guarded([&] {
    const Call call{op, option, axis, lane_rank, row_axis, size0, size1, reverse, present, split};
    Operands args(xla_args);
    Results rets(xla_rets);
    const Arguments in = arguments(call, args);
    LaneScanBackward b{};
    b.ct = in.ct;
    b.ct_final = in.ct_final;
    const int inputs = kInputCount[op];
    for (int i = 0; i <= inputs; ++i) {
      if (!(wanted >> i & 1)) continue;
      LaneArray& grad = i < inputs ? b.grad[i] : b.dh0;
      grad = result(call, rets, split >> i & 1);
      grad.conjugated = true;
    }
    if (in.empty) return rets.zero_all();
    XlaThreadPool pool(xla_pool);
    lane_scan_backward(in.problem, b, native_kernels().lanes, pool);
  });
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .RemainingArgs()
      .RemainingRets()
      .Attr<int64_t>("op")
      .Attr<int64_t>("option")
      .Attr<int64_t>("axis")
      .Attr<bool>("reverse")
      .Attr<int64_t>("lane_rank")
      .Attr<int64_t>("row_axis")
      .Attr<int64_t>("size0")
      .Attr<int64_t>("size1")
      .Attr<int64_t>("present")
      .Attr<int64_t>("split");
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(lane_scan_forward_cpu, forward, binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(lane_scan_backward_cpu, backward, binding().Attr<int64_t>("wanted"));

}  // namespace cssm
