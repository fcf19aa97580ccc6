#include "lane_case.h"

#include <algorithm>
#include <cmath>

namespace cssm::testing {
namespace {

using Numbers = std::vector<Complex>;

const char* const kNames[] = {"gated", "matrix", "delta", "goom", "coupled"};

LaneOperand operand_like(const Dims& dims, int64_t rows, int64_t columns) {
  LaneOperand o;
  o.dims = dims;
  o.rows = rows;
  o.columns = columns;
  o.present = true;
  o.values.resize(size_t(o.size()));
  return o;
}

LaneOperand random_operand(const LaneCase& c, const Dims& dims, int64_t rows, int64_t columns, double size,
                           Random& random) {
  LaneOperand o = operand_like(dims, rows, columns);
  o.is_real = !is_complex(c.dtype);
  for (Complex& value : o.values) {
    value = {random.uniform(-size, size), o.is_real ? 0.0 : random.uniform(-size, size)};
  }
  return o;
}

Dims some_ones(Dims dims, Random& random) {
  for (int64_t& n : dims) {
    if (random.chance(0.35)) n = 1;
  }
  return dims;
}

Dims without_time(Dims dims, int64_t axis) {
  dims[axis] = 1;
  return dims;
}

// One step: the new state from the old, and y.
void step(const LaneCase& c, const Dims& at, Numbers& state, Numbers& y) {
  const auto in = [&](int i, int64_t row = 0, int64_t column = 0) {
    return c.in[i].values[size_t(c.in[i].index(at, row, column))];
  };
  const Numbers before = state;
  switch (c.op) {
    case LaneOp::kGated:
      y[0] = 0;
      for (int64_t n = 0; n < c.sizes[0]; ++n) {
        state[n] = in(0, n) * before[n] + (c.in[1].present ? in(1, n) : 1.0) * in(2, n);
        y[0] += (c.in[3].present ? in(3, n) : 1.0) * state[n];
      }
      return;
    case LaneOp::kMatrix:
      for (int64_t i = 0; i < c.sizes[0]; ++i) {
        state[i] = in(1, i);
        for (int64_t j = 0; j < c.sizes[0]; ++j) {
          const bool reads = c.option == 0 || (c.option == 1 ? j >= i : j <= i);
          if (reads) state[i] += in(0, i, j) * before[j];
        }
      }
      y = state;
      return;
    case LaneOp::kDelta:
      for (int64_t r = 0; r < c.sizes[1]; ++r) {
        Complex p = 0;
        for (int64_t j = 0; j < c.sizes[0]; ++j) p += std::conj(in(2, j)) * before[r * c.sizes[0] + j];
        y[r] = 0;
        for (int64_t j = 0; j < c.sizes[0]; ++j) {
          const Complex key = in(2, j), write = c.option == 0 ? std::conj(key) : key;
          Complex& s = state[r * c.sizes[0] + j];
          s = in(0) * (s - in(1) * p * key) + in(1) * in(3, r) * write;
          y[r] += s * in(4, j);
        }
      }
      return;
    case LaneOp::kGoom:
      for (int64_t i = 0; i < c.sizes[0]; ++i) {
        Complex sum = std::exp(in(1, i));
        for (int64_t j = 0; j < c.sizes[0]; ++j) sum += std::exp(in(0, i, j) + before[j]);
        state[i] = std::log(sum);
      }
      y = state;
      return;
    case LaneOp::kCoupled:
      for (int64_t i = 0; i < c.sizes[0]; ++i) {
        state[i] = in(2, i) * (c.in[3].present ? in(3, i) : 1.0);
        for (int64_t j = 0; j < c.sizes[0]; ++j) state[i] += in(0, i, j) * in(1, i, j) * before[j];
        y[i] = state[i] * (c.in[4].present ? in(4, i) : 1.0);
      }
      return;
  }
}

}  // namespace

int64_t LaneOperand::size() const {
  int64_t n = rows * columns;
  for (int64_t d : dims) n *= d;
  return n;
}

int64_t LaneOperand::index(const Dims& position, int64_t row, int64_t column) const {
  int64_t at = 0;
  for (size_t d = 0; d < dims.size(); ++d) at = at * dims[d] + (dims[d] == 1 ? 0 : position[d]);
  return (at * rows + (rows == 1 ? 0 : row)) * columns + (columns == 1 ? 0 : column);
}

std::string LaneCase::name() const {
  std::string out = std::string(kNames[int(op)]) + " dtype " + std::to_string(int(dtype)) + " shape";
  for (int64_t n : shape) out += " " + std::to_string(n);
  return out + " axis " + std::to_string(axis) + (reverse ? " reverse" : "") + " sizes " + std::to_string(sizes[0]) +
         " " + std::to_string(sizes[1]) + " option " + std::to_string(option) + (reset.empty() ? "" : " reset");
}

LaneOperand LaneCase::y() const { return operand_like(shape, y_rows, 1); }
LaneOperand LaneCase::final_state() const { return operand_like(without_time(shape, axis), state_rows, state_columns); }

LaneCase random_lane_case(LaneOp op, DType dtype, Random& random) {
  LaneCase c{};
  c.op = op;
  c.dtype = dtype;
  c.shape = {random.one_of<int64_t>({1, 2, 3}), random.one_of<int64_t>({1, 2, 9, 70}),
             random.one_of<int64_t>({1, 2, 5}), random.one_of<int64_t>({1, 3, 16, 40, 270})};
  if (c.shape[1] * c.shape[3] > 1000) c.shape[0] = c.shape[2] = 1;  // the sanitizers are slow
  c.axis = random.one_of<int64_t>({0, 1, 1, 3});
  c.reverse = random.chance(0.5);
  const bool is_vector = op == LaneOp::kMatrix || op == LaneOp::kGoom || op == LaneOp::kCoupled;
  c.option = int(op == LaneOp::kMatrix ? random.below(3) : op == LaneOp::kDelta ? random.below(2) : 0);
  c.sizes[0] = random.one_of<int64_t>({1, 2, 3, 4, 5});
  c.sizes[1] = op == LaneOp::kDelta ? random.one_of<int64_t>({1, 2, 3, 4}) : 1;
  c.state_rows = op == LaneOp::kDelta ? c.sizes[1] : c.sizes[0];
  c.state_columns = op == LaneOp::kDelta ? c.sizes[0] : 1;
  c.y_rows = is_vector ? c.sizes[0] : op == LaneOp::kDelta ? c.sizes[1] : 1;
  const auto make = [&](int64_t rows, int64_t columns, double size, bool may_lack_rows = false) {
    const int64_t kept = may_lack_rows && random.chance(0.4) ? 1 : rows;
    return random_operand(c, some_ones(c.shape, random), kept, columns, size, random);
  };
  const int64_t n = c.sizes[0];
  const double small = 0.5 / double(n);
  switch (op) {
    case LaneOp::kGated:
      c.in[0] = make(n, 1, 0.6, true);
      if (random.chance(0.7)) c.in[1] = make(n, 1, 1, true);
      if (random.chance(0.7)) c.in[3] = make(n, 1, 1, true);
      c.in[2] = random_operand(c, c.shape, n, 1, 1, random);
      break;
    case LaneOp::kMatrix:
      c.in[0] = make(n, n, small);
      c.in[1] = random_operand(c, c.shape, n, 1, 1, random);
      break;
    case LaneOp::kDelta:
      c.in[0] = make(1, 1, 0.6);
      c.in[1] = make(1, 1, 0.6);
      c.in[2] = make(n, 1, 0.5);
      c.in[3] = random_operand(c, c.shape, c.sizes[1], 1, 1, random);
      c.in[4] = make(n, 1, 1);
      break;
    case LaneOp::kGoom:
      c.in[0] = make(n, n, 1);
      c.in[1] = random_operand(c, c.shape, n, 1, 1, random);
      break;
    case LaneOp::kCoupled:
      c.in[0] = make(n, n, 1);
      c.in[0].is_real = true;
      for (Complex& value : c.in[0].values) value = value.real();
      c.in[1] = make(n, n, small);
      c.in[2] = random_operand(c, c.shape, n, 1, 1, random);
      if (random.chance(0.7)) c.in[3] = make(n, 1, 1);
      if (random.chance(0.7)) c.in[4] = make(n, 1, 1);
      break;
  }
  if (random.chance(0.6)) {
    c.h0 =
        random_operand(c, without_time(some_ones(c.shape, random), c.axis), c.state_rows, c.state_columns, 1, random);
  }
  if (random.chance(0.7)) c.ct = random_operand(c, c.shape, c.y_rows, 1, 1, random);
  if (random.chance(0.7) || !c.ct.present) {
    c.ct_final = random_operand(c, without_time(c.shape, c.axis), c.state_rows, c.state_columns, 1, random);
  }
  c.reset_dims = Dims(c.shape.size(), 1);
  if (random.chance(0.4)) {
    c.reset_dims = some_ones(c.shape, random);
    int64_t count = 1;
    for (int64_t d : c.reset_dims) count *= d;
    for (int64_t i = 0; i < count; ++i) c.reset.push_back(random.chance(0.2));
  }
  return c;
}

LaneResult lane_definition(const LaneCase& c) {
  LaneResult out{c.y(), c.final_state()};
  LaneOperand flags;
  flags.dims = c.reset_dims;
  const Complex zero = c.op == LaneOp::kGoom ? Complex(-INFINITY, 0) : Complex(0);
  int64_t lanes = 1;
  for (size_t d = 0; d < c.shape.size(); ++d) lanes *= int64_t(d) == c.axis ? 1 : c.shape[d];
  for (int64_t lane = 0; lane < lanes; ++lane) {
    Dims at(c.shape.size(), 0);
    int64_t rest = lane;
    for (size_t d = c.shape.size(); d-- > 0;) {
      if (int64_t(d) == c.axis) continue;
      at[d] = rest % c.shape[d];
      rest /= c.shape[d];
    }
    Numbers state(size_t(c.state_rows * c.state_columns), zero), y(static_cast<size_t>(c.y_rows));
    for (int64_t i = 0; c.h0.present && i < int64_t(state.size()); ++i) {
      state[i] = c.h0.values[c.h0.index(at, i / c.state_columns, i % c.state_columns)];
    }
    for (int64_t s = 0; s < c.shape[c.axis]; ++s) {
      at[c.axis] = c.reverse ? c.shape[c.axis] - 1 - s : s;
      if (!c.reset.empty() && c.reset[flags.index(at, 0, 0)]) std::fill(state.begin(), state.end(), zero);
      step(c, at, state, y);
      for (int64_t i = 0; i < c.y_rows; ++i) out.y.values[out.y.index(at, i, 0)] = y[i];
    }
    for (int64_t i = 0; i < int64_t(state.size()); ++i) {
      out.final_state.values[out.final_state.index(at, i / c.state_columns, i % c.state_columns)] = state[i];
    }
  }
  return out;
}

}  // namespace cssm::testing
