// A random problem of one of the recurrences over lanes, its operands, and its definition in complex double.
#pragma once

#include <complex>
#include <string>
#include <vector>

#include "cpu/lane_scan.h"
#include "random.h"

namespace cssm::testing {

using Complex = std::complex<double>;

// An operand in complex double, of the lanes' dimensions and then its components'.
struct LaneOperand {
  Dims dims;
  int64_t rows = 1, columns = 1;
  bool present = false, is_real = false;
  std::vector<Complex> values;

  int64_t size() const;
  // The element of a lane, step and component; broadcast dimensions have size 1.
  int64_t index(const Dims& position, int64_t row, int64_t column) const;
};

struct LaneCase {
  LaneOp op;
  DType dtype;
  int option;
  Dims shape;
  int64_t axis;
  bool reverse;
  int64_t sizes[2], state_rows, state_columns, y_rows;
  LaneOperand in[kMaxLaneInputs], h0, ct, ct_final;
  Dims reset_dims;
  std::vector<uint8_t> reset;  // empty: none

  std::string name() const;
  LaneOperand y() const;
  LaneOperand final_state() const;
};

LaneCase random_lane_case(LaneOp op, DType dtype, Random& random);

struct LaneResult {
  LaneOperand y, final_state;
};
LaneResult lane_definition(const LaneCase& c);

}  // namespace cssm::testing
