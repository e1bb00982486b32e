// The kernels with which the device is compared: those of the CPU back end, which the tests of the op table compare
// with float64. Products are simple loops, so that no library is needed.
#include "cases.h"
#include "cpu/kernels.h"

namespace lxmert::bench {

namespace {

void zeroInactive(const Rows& rows, float* data, int64_t width) {
  for (int64_t row = 0; row < rows.capacity; ++row)
    if (!rows.isActive(row)) std::fill(data + row * width, data + (row + 1) * width, 0.0f);
}

// Computes all rows, as the device does. No op reads inactive rows of y.
void linearForward(Device&, const LinearForward& a) {
#pragma omp parallel for
  for (int64_t row = 0; row < a.rows.capacity; ++row)
    for (int64_t o = 0; o < a.out; ++o) {
      double sum = a.bias ? a.bias[o] : 0;
      for (int64_t i = 0; i < a.in; ++i) sum += static_cast<double>(a.x[row * a.in + i]) * a.weight[o * a.in + i];
      a.y[row * a.out + o] = static_cast<float>(sum);
    }
}

void linearBackwardInput(Device&, const LinearBackwardInput& a) {
#pragma omp parallel for
  for (int64_t row = 0; row < a.rows.capacity; ++row) {
    std::vector<double> sum(a.in, 0.0);
    if (a.accumulate) sum.assign(a.dx.data + row * a.in, a.dx.data + (row + 1) * a.in);
    for (int64_t o = 0; o < a.out; ++o)
      for (int64_t i = 0; i < a.in; ++i) sum[i] += static_cast<double>(a.dy[row * a.out + o]) * a.weight[o * a.in + i];
    for (int64_t i = 0; i < a.in; ++i) a.dx[row * a.in + i] = static_cast<float>(sum[i]);
  }
  if (!a.accumulate) zeroInactive(a.rows, a.dx.data, a.in);
}

void linearBackwardWeight(Device&, const LinearBackwardWeight& a) {
#pragma omp parallel for
  for (int64_t o = 0; o < a.out; ++o) {
    std::vector<double> sum(a.in, 0.0);
    double bias = 0;
    for (int64_t row = 0; row < a.rows.capacity; ++row) {
      const double dy = a.dy[row * a.out + o];
      if (!a.rows.isActive(row)) continue;
      bias += dy;
      for (int64_t i = 0; i < a.in; ++i) sum[i] += dy * a.x[row * a.in + i];
    }
    for (int64_t i = 0; i < a.in; ++i)
      a.dWeight[o * a.in + i] = static_cast<float>(sum[i] + (a.accumulateWeight ? a.dWeight[o * a.in + i] : 0));
    if (a.dBias) a.dBias[o] = static_cast<float>(bias + (a.accumulateBias ? a.dBias[o] : 0));
  }
}

// The loops of this file take weights as they are.
void packWeight(Device&, const PackWeight&) {}

OpColumn column() {
  OpColumn result;
  // Products are those of this file, because cpu/ uses oneDNN for them.
  using namespace cpu;
#define OP(name, Args) result.name = &name;
  LXMERT_OPS(OP)
#undef OP
  return result;
}

}  // namespace

const OpColumn& hostColumn() {
  static const OpColumn all = column();
  return all;
}

}  // namespace lxmert::bench
