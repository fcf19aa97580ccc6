#include "cpu/coupled_scan_block.h"
#include "cpu/delta_scan_block.h"
#include "cpu/gated_scan_block.h"
#include "cpu/goom_scan_block.h"
#include "cpu/lane_copies.h"
#include "cpu/lane_kernels.h"
#include "cpu/matrix_scan_block.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

template <template <class, bool> class Op, class C, bool kComplex>
constexpr LaneStep step() {
  return {Op<C, kComplex>::forward, Op<C, kComplex>::backward};
}

// Of complex logarithms alone.
template <class C>
constexpr LaneStep goom() {
  return {GoomScan<C>::forward, GoomScan<C>::backward, 2, GoomScan<C>::enter, GoomScan<C>::leave};
}

// Imaginary planes.
template <class S>
using Negated = LaneCopy<S, float, false, true>;

}  // namespace

const LaneKernels& lane_kernels() {
  static constexpr LaneKernels kernels = {
      {
          {step<GatedScan, float, false>(), step<GatedScan, double, false>(), step<GatedScan, float, true>(),
           step<GatedScan, double, true>()},
          {step<MatrixScan, float, false>(), step<MatrixScan, double, false>(), step<MatrixScan, float, true>(),
           step<MatrixScan, double, true>()},
          {step<DeltaScan, float, false>(), step<DeltaScan, double, false>(), step<DeltaScan, float, true>(),
           step<DeltaScan, double, true>()},
          {LaneStep{}, LaneStep{}, goom<float>(), goom<double>()},
          {step<CoupledScan, float, false>(), step<CoupledScan, double, false>(), step<CoupledScan, float, true>(),
           step<CoupledScan, double, true>()},
      },
      {{LaneCopy<float, float, false>::gather, LaneCopy<double, double, false>::gather,
        LaneCopy<float, float, true>::gather, LaneCopy<double, double, true>::gather,
        LaneCopy<BFloat16, float, false>::gather, LaneCopy<Float16, float, false>::gather},
       {Negated<float>::gather, nullptr, nullptr, nullptr, Negated<BFloat16>::gather, Negated<Float16>::gather},
       {gather_flags<float>, gather_flags<double>},
       {LaneCopy<float, float, false>::scatter, LaneCopy<double, double, false>::scatter,
        LaneCopy<float, float, true>::scatter, LaneCopy<double, double, true>::scatter,
        LaneCopy<BFloat16, float, false>::scatter, LaneCopy<Float16, float, false>::scatter},
       {Negated<float>::scatter, nullptr, nullptr, nullptr, Negated<BFloat16>::scatter, Negated<Float16>::scatter},
       {{add_to_sums<float, false>, add_to_sums<float, true>},
        {add_to_sums<double, false>, add_to_sums<double, true>}}}};
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
