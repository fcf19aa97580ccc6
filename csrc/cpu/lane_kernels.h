// The step of a recurrence over a block of lanes, for every operation but linear_scan and spectral_scan. What an
// operation brings is these loops alone; `lane_scan.cc` cuts its arrays into blocks. Compiled once per instruction set.
#pragma once

#include <cstdint>

namespace cssm {

// The operations, in the order of their kernels.
enum class LaneOp : int { kGated, kMatrix, kDelta, kGoom, kCoupled };
inline constexpr int kNumLaneOps = 5;
inline constexpr int kMaxLaneInputs = 5;

// An operand, or a result, of a block: rows of lanes in the computed type, (re, im) in planes. Strides are in scalars,
// 0 where one row serves all; an absent operand has no data.
struct LaneTile {
  void* data;
  int64_t step, row, column;  // to the next step, and to the next component in each of its dimensions
  bool adds;                  // a gradient that several steps or components add to; zero at first
  bool real;                  // beside complex ones: its imaginary planes are neither read nor written
};

// Some steps of a block. Steps are counted in the order of the recurrence.
struct LaneSegment {
  int64_t steps, lanes;  // lanes are a multiple of 16
  int64_t plane;         // scalars from re to im
  int64_t sizes[2];      // of the components: (states), (k), (d_k, d_v)
  int option;            // of the operation: see its kernels
  LaneTile in[kMaxLaneInputs];
  LaneTile reset;  // one plane; the state is cleared where it is not 0
  // The state before step t lies t * state_step scalars on, with components `state_row` apart, and so does the one
  // after.
  void* state;
  int64_t state_step, state_row;
  LaneTile y;  // forward: written if there is data
  // Backward: the cotangents of y and, updated, of the state; and the gradients of the inputs, those wanted.
  LaneTile ct;
  void* ct_state;
  LaneTile grad[kMaxLaneInputs];
};

// Real and complex, of each precision.
enum class LaneNumber : int { kF32, kF64, kC64, kC128 };
inline constexpr int kNumLaneNumbers = 4;

// A segment is given by value: no store to a tile can change it, and the compiler keeps it in registers.
struct LaneStep {
  void (*forward)(LaneSegment);
  void (*backward)(LaneSegment);  // all states are there; steps are taken from the last
  // A state that is kept otherwise within a scan than in memory takes `state_parts` rows for each of its components,
  // and is converted in place: where it starts, given or zero, and where the scan ends. Null: it is kept as it is.
  int64_t state_parts = 1;
  void (*enter)(const LaneSegment&, bool is_given) = nullptr;
  void (*leave)(const LaneSegment&) = nullptr;
};

// Rows between an array in memory and a tile: `steps` x `rows` x `columns` runs of `lanes`, each its stride apart.
struct LaneRuns {
  int64_t steps, rows, columns, lanes;
  struct Strides {
    int64_t step, row, column, lane;
  };
  Strides array;  // in elements; a lane stride of 0 is one element for all
  Strides tile;   // in scalars; lane: 1
  int64_t plane;
  bool stream;  // the array is large, and written past the caches where it can be
};

struct LaneCopies {
  // By DType. Half precision is widened.
  void (*gather[6])(const void* array, void* tile, const LaneRuns&);
  void (*gather_negated[6])(const void* array, void* tile, const LaneRuns&);   // real into real
  void (*gather_flags[2])(const uint8_t* array, void* tile, const LaneRuns&);  // by whether the tile is double
  void (*scatter[6])(const void* tile, void* array, const LaneRuns&);          // a real array takes the real part
  void (*scatter_negated[6])(const void* tile, void* array, const LaneRuns&);  // likewise
  // Add to sums in double, of the array's shape, (re, im) side by side if they are `complex`.
  void (*add[2][2])(const void* tile, double* sums, const LaneRuns&);  // by whether the tile is double, and complex
};

struct LaneKernels {
  LaneStep steps[kNumLaneOps][kNumLaneNumbers];
  LaneCopies copies;
};

namespace baseline {
const LaneKernels& lane_kernels();
}
#if defined(CSSM_X86_ISAS)
namespace avx2 {
const LaneKernels& lane_kernels();
}
namespace avx512 {
const LaneKernels& lane_kernels();
}
#endif

}  // namespace cssm
