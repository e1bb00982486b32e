#include "tensors.h"

#include <cmath>
#include <cstring>

#include "cuda/device.h"

namespace lxmert::bench {

namespace {

using cuda::bf16;
using cuda::fromFloat;
using cuda::toFloat;

constexpr int64_t kAlignment = 256;

bool isWeight(Role role) { return role == Role::Weight || role == Role::Updated || role == Role::Table; }

bool isResult(Role role) {
  return role == Role::Out || role == Role::InOut || role == Role::SparseInOut || role == Role::Updated;
}

}  // namespace

int64_t Tensors::deviceBytes(const Tensor& t) { return t.elements * bytesOf(t.dtype); }

// The bytes from the beginning of a tensor to the beginning of the next one.
int64_t Tensors::placeFor(const Tensor& t) const {
  const int64_t bytes = deviceBytes(t) + (displaced_ ? bytesOf(t.dtype) : 0);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

char* Tensors::take(int64_t n, DType dtype, bool integer, Role role, const std::function<void(char*)>& fill) {
  if (onDevice_) return tensors_[next_++].device;
  tensors_.push_back({std::make_unique<char[]>(n * 4), n, dtype, integer, role, nullptr});
  char* host = tensors_.back().host.get();
  if (role == Role::Out || role == Role::Scratch)
    std::memset(host, 0xFF, n * 4);
  else
    fill(host);
  return host;
}

Values Tensors::values(int64_t n, Role role, float limit) {
  char* data = take(n, dtype_, false, role, [&](char* host) {
    for (int64_t i = 0; i < n; ++i) {
      const float x = random(limit);
      reinterpret_cast<float*>(host)[i] = dtype_ == DType::BF16 ? toFloat(fromFloat<bf16>(x)) : x;
    }
  });
  Values result{};
  result.data = reinterpret_cast<float*>(data);
  result.size = n;
  result.dtype = onDevice_ ? dtype_ : DType::F32;
  return result;
}

Floats Tensors::floats(int64_t n, Role role, float limit) {
  char* data = take(n, DType::F32, false, role, [&](char* host) {
    const bool rounded = dtype_ == DType::BF16 && isWeight(role);
    for (int64_t i = 0; i < n; ++i) {
      const float x = random(limit);
      reinterpret_cast<float*>(host)[i] = rounded ? toFloat(fromFloat<bf16>(x)) : x;
    }
  });
  return {reinterpret_cast<float*>(data), n};
}

Ints Tensors::ints(const std::vector<int32_t>& values, Role role) {
  const auto n = static_cast<int64_t>(values.size());
  char* data = take(n, DType::F32, true, role, [&](char* host) { std::memcpy(host, values.data(), n * 4); });
  return {reinterpret_cast<int32_t*>(data), n};
}

// Makes the bits of float16 numbers below 2, so that no number is infinite or NaN.
Halves Tensors::halves(int64_t n, Role role) {
  char* data = take(n, DType::F16, false, role, [&](char* host) {
    for (int64_t i = 0; i < n; ++i)
      reinterpret_cast<uint16_t*>(host)[i] = static_cast<uint16_t>((1 + random(1)) * 0x2000);
  });
  return {reinterpret_cast<uint16_t*>(data), n};
}

void Tensors::moveToDevice() {
  onDevice_ = true;
  for (Tensor& t : tensors_) (isWeight(t.role) ? parameterBytes_ : workspaceBytes_) += placeFor(t);
  parameterBytes_ += kAlignment;
  workspaceBytes_ += kAlignment;
  parameters_ = device_.allocate(ArenaId::Parameters, parameterBytes_);
  workspace_ = device_.allocate(ArenaId::Workspace, workspaceBytes_);
  char *parameters = parameters_, *workspace = workspace_;
  for (Tensor& t : tensors_) {
    char*& place = isWeight(t.role) ? parameters : workspace;
    t.device = place + (displaced_ ? bytesOf(t.dtype) : 0);
    place += placeFor(t);
    if (t.dtype != DType::BF16) {
      device_.copyIn(t.device, {t.host.get(), deviceBytes(t)});
      continue;
    }
    std::vector<bf16> narrow(t.elements);
    const auto* wide = reinterpret_cast<const float*>(t.host.get());
    for (int64_t i = 0; i < t.elements; ++i) narrow[i] = fromFloat<bf16>(wide[i]);
    device_.copyIn(t.device, {reinterpret_cast<const char*>(narrow.data()), deviceBytes(t)});
  }
  device_.wait();
}

Tensors::~Tensors() {
  if (!onDevice_) return;
  device_.release(parameters_, parameterBytes_);
  device_.release(workspace_, workspaceBytes_);
}

Tensors::Difference Tensors::compare() {
  Difference worst;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& t = tensors_[i];
    if (!isResult(t.role)) continue;
    std::vector<char> got(deviceBytes(t));
    // Copies with cudaMemcpy, because the device's own copyOut is for an engine, which waits for its completions.
    cuda::check(cudaMemcpy(got.data(), t.device, got.size(), cudaMemcpyDeviceToHost), "reading a tensor");
    double error = 0, norm = 0;
    for (int64_t j = 0; j < t.elements; ++j) {
      double expected, value;
      if (t.integer) {
        expected = reinterpret_cast<const int32_t*>(t.host.get())[j];
        value = reinterpret_cast<const int32_t*>(got.data())[j];
      } else {
        expected = reinterpret_cast<const float*>(t.host.get())[j];
        value = t.dtype == DType::BF16 ? toFloat(reinterpret_cast<const bf16*>(got.data())[j])
                                       : reinterpret_cast<const float*>(got.data())[j];
      }
      // An element that neither kernel wrote is NaN on the host and on the device.
      if (std::isnan(expected) && std::isnan(value)) continue;
      error += (value - expected) * (value - expected);
      norm += expected * expected;
    }
    const double relative = std::sqrt(error) / std::max(std::sqrt(norm), 1e-30);
    if (!(relative <= worst.error)) worst = {relative, static_cast<int>(i)};
  }
  return worst;
}

int64_t Tensors::bytes() const {
  int64_t sum = 0;
  for (const Tensor& t : tensors_) {
    if (t.role == Role::Table || t.role == Role::Sparse || t.role == Role::SparseInOut) continue;
    sum += deviceBytes(t) * (t.role == Role::InOut || t.role == Role::Updated ? 2 : 1);
    if (t.role == Role::Updated && dtype_ == DType::BF16) sum += t.elements * bytesOf(DType::BF16);
  }
  return sum;
}

}  // namespace lxmert::bench
