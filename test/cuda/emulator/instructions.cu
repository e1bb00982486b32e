// Compares operations of the lanes of a warp, the functions of ptx.cuh and the rounding of bfloat16 with simple loops.
// It also compiles with nvcc. On a GPU it shows whether the emulator gives the same results as the hardware.
#include <cmath>
#include <cstring>
#include <limits>

#include "cuda/ptx.cuh"
#include "support.h"

namespace lxmert::cuda {

namespace {

constexpr uint32_t kAll = 0xFFFFFFFFu;
constexpr int kLanes = 32;

enum Exchange { kXor, kIndex, kDown, kUp, kBallot, kAny, kAllOf, kExchanges };

// out [kExchanges, 32]: the results for each lane's value and argument.
template <int width>
__global__ void exchange(const float* values, const int* arguments, uint32_t mask, float* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (!(mask >> lane & 1)) return;
  const float value = values[lane];
  const int argument = arguments[0];
  out[kXor * kLanes + lane] = __shfl_xor_sync(mask, value, argument, width);
  out[kIndex * kLanes + lane] = __shfl_sync(mask, value, arguments[lane], width);
  out[kDown * kLanes + lane] = __shfl_down_sync(mask, value, static_cast<unsigned int>(argument), width);
  out[kUp * kLanes + lane] = __shfl_up_sync(mask, value, static_cast<unsigned int>(argument), width);
  out[kBallot * kLanes + lane] = __uint_as_float(__ballot_sync(mask, value > 0));
  out[kAny * kLanes + lane] = static_cast<float>(__any_sync(mask, value > 2) != 0);
  out[kAllOf * kLanes + lane] = static_cast<float>(__all_sync(mask, value > -2) != 0);
}

template <int width>
void exchangeIsItsLoop() {
  std::vector<float> values(kLanes);
  std::vector<int> arguments(kLanes);
  for (float& v : values) v = randomFloat();
  for (int& a : arguments) a = randomBelow(width);
  Array<float> in(values), out(kExchanges * kLanes);
  Array<int> with(arguments);
  LXMERT_LAUNCH(exchange<width>, 1, kLanes, 0, nullptr, in.data(), with.data(), kAll, out.data());
  const std::vector<float> got = out.read();
  uint32_t votes = 0;
  for (int lane = 0; lane < kLanes; ++lane) votes |= uint32_t{values[lane] > 0} << lane;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int group = lane / width * width, argument = arguments[0];
    const auto from = [&](int source) { return values[source >= group && source < group + width ? source : lane]; };
    CHECK(got[kXor * kLanes + lane] == from(lane ^ argument));
    CHECK(got[kIndex * kLanes + lane] == values[group + arguments[lane]]);
    CHECK(got[kDown * kLanes + lane] == from(lane + argument));
    CHECK(got[kUp * kLanes + lane] == from(lane - argument));
    uint32_t ballot;
    std::memcpy(&ballot, &got[kBallot * kLanes + lane], sizeof ballot);
    CHECK(ballot == votes);
    CHECK(got[kAny * kLanes + lane] == 0 && got[kAllOf * kLanes + lane] == 1);
  }
}

void exchanges() {
  for (int i = 0; i < 20; ++i) {
    exchangeIsItsLoop<32>();
    exchangeIsItsLoop<16>();
    exchangeIsItsLoop<4>();
  }
}

// Two halves of a warp with different masks, in any order.
__global__ void halves(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 16)
    out[lane] = __shfl_sync(0x0000FFFFu, lane, 3);
  else
    out[lane] = __shfl_sync(0xFFFF0000u, lane, 19) + (__ballot_sync(0xFFFF0000u, lane % 2) == 0xAAAA0000u);
  __syncwarp();
  out[lane] += __shfl_xor_sync(kAll, 100 * lane, 31);
}

void halvesOfAWarp() {
  Array<int> out(kLanes);
  LXMERT_LAUNCH(halves, 1, kLanes, 0, nullptr, out.data());
  const std::vector<int> got = out.read();
  for (int lane = 0; lane < kLanes; ++lane) CHECK(got[lane] == (lane < 16 ? 3 : 20) + 100 * (31 - lane));
}

// a [16, 16], b [16, 8] and c [16, 8] in the layout that ptx.cuh describes.
__global__ void product(const bf16* a, const bf16* b, const float* c, float* d) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](bf16 low, bf16 high) { return packBf16(toFloat(low), toFloat(high)); };
  uint32_t fa[4], fb[2];
  float sum[4];
  for (int i = 0; i < 4; ++i) {
    const bf16* at = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    fa[i] = pair(at[0], at[1]);
    sum[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  }
  for (int i = 0; i < 2; ++i) {
    const bf16* at = b + (2 * t + 8 * i) * 8 + g;
    fb[i] = pair(at[0], at[8]);
  }
  mma16816(sum, fa, fb);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

std::vector<bf16> randomBf16(int n) {
  std::vector<bf16> values(n);
  for (bf16& v : values) v = fromFloat<bf16>(randomFloat());
  return values;
}

void mmaIsItsLoop() {
  for (int repeat = 0; repeat < 20; ++repeat) {
    const std::vector<bf16> a = randomBf16(16 * 16), b = randomBf16(16 * 8);
    std::vector<float> c(16 * 8);
    for (float& v : c) v = randomFloat(4);
    Array<bf16> da(a), db(b);
    Array<float> dc(c), dd(16 * 8);
    LXMERT_LAUNCH(product, 1, kLanes, 0, nullptr, da.data(), db.data(), dc.data(), dd.data());
    const std::vector<float> got = dd.read();
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 8; ++n) {
        double sum = c[m * 8 + n];
        for (int k = 0; k < 16; ++k) sum += static_cast<double>(toFloat(a[m * 16 + k])) * toFloat(b[k * 8 + n]);
        CHECK(std::abs(got[m * 8 + n] - sum) < 1e-5);
      }
  }
}

constexpr int kPitch = 24;  // elements from one row of a matrix to the next in shared memory

// Matrices [8, 8], one below the other in shared memory; the result has each lane's words of each matrix.
template <bool transposed>
__global__ void fragments(const bf16* matrices, uint32_t* words) {
  LXMERT_SHARED(bf16, shared);
  const int lane = static_cast<int>(threadIdx.x);
  for (int column = 0; column < 8; ++column) shared[lane * kPitch + column] = matrices[lane * 8 + column];
  __syncthreads();
  uint32_t r[4];
  if (transposed)
    ldmatrixX4Trans(r, shared + lane * kPitch);
  else
    ldmatrixX4(r, shared + lane * kPitch);
  for (int i = 0; i < 4; ++i) words[i * kLanes + lane] = r[i];
}

template <bool transposed>
void ldmatrixIsItsLoop() {
  const std::vector<bf16> m = randomBf16(4 * 8 * 8);
  Array<bf16> in(m);
  Array<uint32_t> words(4 * kLanes);
  LXMERT_LAUNCH(fragments<transposed>, 1, kLanes, kLanes * kPitch * sizeof(bf16), nullptr, in.data(), words.data());
  const std::vector<uint32_t> got = words.read();
  for (int i = 0; i < 4; ++i)
    for (int lane = 0; lane < kLanes; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const auto at = [&](int row, int column) {
        return toFloat(m[i * 64 + (transposed ? column * 8 + row : row * 8 + column)]);
      };
      const uint32_t expected = [&] {
        uint16_t half[2];
        const bf16 pair[2] = {fromFloat<bf16>(at(g, 2 * t)), fromFloat<bf16>(at(g, 2 * t + 1))};
        std::memcpy(half, pair, sizeof half);
        return uint32_t{half[0]} | uint32_t{half[1]} << 16;
      }();
      CHECK(got[i * kLanes + lane] == expected);
    }
}

void ldmatrixes() {
  ldmatrixIsItsLoop<false>();
  ldmatrixIsItsLoop<true>();
}

// Two groups of copies. Every third copy is not valid.
__global__ void copies(const uint4* from, uint4* to) {
  LXMERT_SHARED(uint4, shared);
  const int i = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  cpAsync16(shared + i, from + i, i % 3 != 0);
  cpAsyncCommit();
  cpAsync16(shared + n + i, from + n + i, true);
  cpAsyncCommit();
  cpAsyncWait<1>();
  __syncthreads();
  to[i] = shared[n - 1 - i];
  cpAsyncWait<0>();
  __syncthreads();
  to[n + i] = shared[2 * n - 1 - i];
}

void cpAsyncIsACopy() {
  constexpr int n = 96;
  std::vector<uint4> values(2 * n);
  for (int i = 0; i < 2 * n; ++i) {
    const auto word = static_cast<unsigned int>(4 * i);
    values[i] = make_uint4(word + 1, word + 2, word + 3, word + 4);
  }
  Array<uint4> from(values), to(2 * n);
  LXMERT_LAUNCH(copies, 1, n, 2 * n * sizeof(uint4), nullptr, from.data(), to.data());
  const std::vector<uint4> got = to.read();
  for (int i = 0; i < n; ++i) {
    const int source = n - 1 - i;
    const uint4 expected = source % 3 != 0 ? values[source] : make_uint4(0, 0, 0, 0);
    CHECK(std::memcmp(&got[i], &expected, sizeof expected) == 0);
    CHECK(std::memcmp(&got[n + i], &values[2 * n - 1 - i], sizeof expected) == 0);
  }
}

__global__ void roundAll(const float* x, int n, bf16* y, uint32_t* packed, float2* unpacked) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  y[i] = fromFloat<bf16>(x[i]);
  packed[i] = packBf16(x[i], -x[i]);
  unpacked[i] = unpackBf16(packed[i]);
}

// Rounds to the nearer of the two neighbours, or to the even one if both are equally near. Uses no operations on bits.
float nearest(float x) {
  if (std::isnan(x) || std::isinf(x)) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const auto value = [](uint32_t word) {
    float f;
    std::memcpy(&f, &word, sizeof f);
    // For the comparison of distances, infinity is represented by the number after the largest.
    return std::isinf(f) ? std::copysign(std::ldexp(1.0, 128), static_cast<double>(f)) : static_cast<double>(f);
  };
  const uint32_t below = bits & 0xFFFF0000u, above = below + 0x10000u;
  const double down = std::abs(x - value(below)), up = std::abs(value(above) - x);
  const bool takeUp = up < down || (up == down && (above >> 16 & 1) == 0);
  float result;
  const uint32_t word = takeUp ? above : below;
  std::memcpy(&result, &word, sizeof result);
  return result;
}

void bf16IsTheNearest() {
  std::vector<float> x;
  const uint32_t lows[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
  for (uint32_t high = 0; high < 0x10000; high += 7)
    for (const uint32_t low : lows) {
      const uint32_t word = high << 16 | low;
      x.push_back(0);
      std::memcpy(&x.back(), &word, sizeof word);
    }
  const float inf = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  for (const float special : {inf, -inf, most, -most, std::nanf(""), -std::nanf(""), 0.0f, -0.0f, 1e-45f, 1e-40f})
    x.push_back(special);
  const int n = static_cast<int>(x.size());
  Array<float> in(x);
  Array<bf16> out(n);
  Array<uint32_t> packed(n);
  Array<float2> unpacked(n);
  LXMERT_LAUNCH(roundAll, (n + 255) / 256, 256, 0, nullptr, in.data(), n, out.data(), packed.data(), unpacked.data());
  const std::vector<bf16> got = out.read();
  const std::vector<uint32_t> words = packed.read();
  const std::vector<float2> pairs = unpacked.read();
  for (int i = 0; i < n; ++i) {
    const float expected = nearest(x[i]), value = toFloat(got[i]);
    uint16_t bits;
    std::memcpy(&bits, &got[i], sizeof bits);
    if (std::isnan(expected)) {
      CHECK(std::isnan(value) && std::isnan(pairs[i].x) && std::isnan(pairs[i].y));
      continue;
    }
    CHECK(value == expected && std::signbit(value) == std::signbit(expected));
    CHECK((words[i] & 0xFFFFu) == bits && words[i] >> 16 == (bits ^ 0x8000u));
    CHECK(pairs[i].x == expected && pairs[i].y == -expected);
    bf16 host = fromFloat<bf16>(x[i]);
    CHECK(std::memcmp(&host, &got[i], sizeof host) == 0);
  }
}

__global__ void count(int* total, float* sum) {
  atomicAdd(total, 1);
  atomicAdd(sum, 0.5f);
}

void atomicsLoseNothing() {
  Array<int> total(std::vector<int>{0});
  Array<float> sum(std::vector<float>{0});
  LXMERT_LAUNCH(count, 300, 64, 0, nullptr, total.data(), sum.data());
  CHECK(total.read()[0] == 300 * 64 && sum.read()[0] == 300 * 32);
}

// Uses all shared memory that every device has, with three dimensions of threads and blocks.
__global__ void numbers(int* out, int words) {
  LXMERT_SHARED(int, shared);
  const dim3 block = blockDim, grid = gridDim;
  const unsigned int thread = threadIdx.x + block.x * (threadIdx.y + block.y * threadIdx.z);
  const unsigned int place = blockIdx.x + grid.x * (blockIdx.y + grid.y * blockIdx.z);
  const unsigned int threads = block.x * block.y * block.z;
  shared[words - 1 - static_cast<int>(thread)] = static_cast<int>(thread);
  __syncthreads();
  out[place * threads + thread] = static_cast<int>(place * threads) + shared[words - 1 - static_cast<int>(thread)];
}

void threadsAndBlocksAreNumbered() {
  const dim3 grid(3, 2, 2), block(5, 4, 3);
  constexpr int n = 12 * 60, words = static_cast<int>(kSharedBytesMost / sizeof(int));
  Array<int> out(n);
  LXMERT_LAUNCH(numbers, grid, block, kSharedBytesMost, nullptr, out.data(), words);
  const std::vector<int> got = out.read();
  for (int i = 0; i < n; ++i) CHECK(got[i] == i);
}

}  // namespace

}  // namespace lxmert::cuda

int main() {
  using namespace lxmert::cuda;
  return runTests({
      {"shuffles and votes", exchanges},
      {"two halves of a warp", halvesOfAWarp},
      {"mma16816", mmaIsItsLoop},
      {"ldmatrix", ldmatrixes},
      {"cpAsync16", cpAsyncIsACopy},
      {"bfloat16 is the nearest", bf16IsTheNearest},
      {"atomicAdd", atomicsLoseNothing},
      {"numbers of threads and blocks, all shared memory", threadsAndBlocksAreNumbered},
  });
}
