// Kernels with known memory traffic. Each is launched once. traffic.test.ts has the expected counts;
// scripts/lib/instrumented.mjs builds the program with the counter of traffic.
#include <cstring>

#include "cuda/ptx.cuh"
#include "cuda/vectors.cuh"
#include "support.h"

namespace lxmert::cuda {

namespace {

constexpr int kSide = 32;

__device__ int lane() { return static_cast<int>(threadIdx.x) % kSide; }
__device__ int row() { return static_cast<int>(threadIdx.x) / kSide; }

// Copies rows. The lanes of a warp read or write either neighbouring elements of a row or elements of one column.
__global__ void copyRows(const float* in, float* out) { out[threadIdx.x] = in[threadIdx.x]; }
__global__ void readAcross(const float* in, float* out) { out[threadIdx.x] = in[lane() * kSide + row()]; }
__global__ void writeAcross(const float* in, float* out) { out[lane() * kSide + row()] = in[threadIdx.x]; }
// Begins one element after the beginning of a sector.
__global__ void readBeside(const float* in, float* out) { out[threadIdx.x] = in[threadIdx.x + 1]; }
// All lanes read the same element.
__global__ void broadcast(const float* in, float* out) { out[threadIdx.x] = in[row()]; }
// Only the lanes before the diagonal: some lanes never execute the instruction.
__global__ void someLanes(const float* in, float* out) {
  if (lane() < row()) out[threadIdx.x] = in[threadIdx.x];
}
// A loop over rows: the nth accesses of all lanes belong to one request.
__global__ void loop(const float* in, float* out) {
  float sum = 0;
  for (int i = 0; i < kSide; ++i) sum += in[i * kSide + lane()];
  out[threadIdx.x] = sum;
}

// Each lane loads 16 bytes of float32 in one load, or 32 bytes in two loads.
__global__ void vectors(const float* in, float* out) {
  float x[4];
  load<4>(in + threadIdx.x * 4, x);
  store<4>(out + threadIdx.x * 4, x);
}
__global__ void twoVectors(const float* in, bf16* out) {
  float x[8];
  load<8>(in + threadIdx.x * 8, x);
  store<8>(out + threadIdx.x * 8, x);
}

// Transposes a square in shared memory, with rows of this number of elements.
template <int kPitch>
__global__ void transpose(const float* in, float* out) {
  LXMERT_SHARED(float, tile);
  tile[row() * kPitch + lane()] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = tile[lane() * kPitch + row()];
}

// Copies rows of bfloat16 numbers by cp.async and reads them by ldmatrix.
template <int kPitch>
__global__ void matrices(const bf16* in, float* out) {
  LXMERT_SHARED(bf16, tile);
  const int mine = static_cast<int>(threadIdx.x);
  for (int i = mine; i < 16 * 8; i += 32)
    cpAsync16(tile + i / 8 * kPitch + i % 8 * 8, in + i / 8 * 64 + i % 8 * 8, true);
  cpAsyncCommit();
  cpAsyncWait<0>();
  __syncthreads();
  uint32_t r[4];
  ldmatrixX4(r, tile + mine % 16 * kPitch + mine / 16 * 8);
  ldmatrixX4Trans(r, tile + mine % 16 * kPitch + mine / 16 * 8);
  out[mine] = static_cast<float>(r[0] & 1);
}

template <class T>
T* onDevice(size_t elements) {
  T* memory = nullptr;
  if (cudaMalloc(&memory, elements * sizeof(T)) != cudaSuccess) throw Error(ErrorCode::Internal, "no memory");
  cudaMemset(memory, 0, elements * sizeof(T));
  return memory;
}

void runAll() {
  const auto in = onDevice<float>(8 * kSide * kSide + 8), out = onDevice<float>(8 * kSide * kSide);
  const dim3 one(1), square(kSide * kSide);
  const auto* narrowIn = reinterpret_cast<bf16*>(in);
  auto* narrowOut = reinterpret_cast<bf16*>(out);
  LXMERT_LAUNCH(copyRows, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(readAcross, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(writeAcross, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(readBeside, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(broadcast, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(someLanes, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(loop, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(vectors, one, square, 0, nullptr, in, out);
  LXMERT_LAUNCH(twoVectors, one, square, 0, nullptr, in, narrowOut);
  LXMERT_LAUNCH(transpose<kSide>, one, square, kSide * kSide * sizeof(float), nullptr, in, out);
  LXMERT_LAUNCH(transpose<kSide + 1>, one, square, kSide * (kSide + 1) * sizeof(float), nullptr, in, out);
  LXMERT_LAUNCH(matrices<64>, one, dim3(32), 16 * 64 * sizeof(bf16), nullptr, narrowIn, out);
  LXMERT_LAUNCH(matrices<72>, one, dim3(32), 16 * 72 * sizeof(bf16), nullptr, narrowIn, out);
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  lxmert::cuda::runAll();
  return 0;
}
