#include "cuda/emulator/ptx.h"

#include <cstring>

#include "cuda/emulator/uses.h"

namespace lxmert::emulator {

namespace {

constexpr int kM = 16, kN = 8, kK = 16;

float low(uint32_t word) { return std::bit_cast<float>(word << 16); }
float high(uint32_t word) { return std::bit_cast<float>(word & 0xFFFF0000u); }

}  // namespace

// ptx.cuh says what lane 4 g + t holds.
void mma(void* const* operands, uint32_t) {
  float a[kM][kK], b[kK][kN];
  for (int lane = 0; lane < warpSize; ++lane) {
    const Mma& mine = *static_cast<const Mma*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      const int k = 8 * half + 2 * t;
      for (int part = 0; part < 2; ++part) {
        a[g + 8 * part][k] = low(mine.a[2 * half + part]);
        a[g + 8 * part][k + 1] = high(mine.a[2 * half + part]);
      }
      b[k][g] = low(mine.b[half]);
      b[k + 1][g] = high(mine.b[half]);
    }
  }
  for (int g = 0; g < 8; ++g)
    for (int part = 0; part < 2; ++part) {
      float sum[kN] = {};
      for (int k = 0; k < kK; ++k)
        for (int n = 0; n < kN; ++n) sum[n] += a[g + 8 * part][k] * b[k][n];
      for (int t = 0; t < 4; ++t) {
        float* d = static_cast<const Mma*>(operands[4 * g + t])->d + 2 * part;
        d[0] += sum[2 * t];
        d[1] += sum[2 * t + 1];
      }
    }
}

template <bool transposed>
void ldmatrix(void* const* operands, uint32_t) {
  for (int i = 0; i < 4; ++i) {
    const void* rows[8];
    uint16_t m[8][8];
    for (int row = 0; row < 8; ++row) {
      rows[row] = static_cast<const Ldmatrix*>(operands[8 * i + row])->row;
      std::memcpy(m[row], rows[row], sizeof m[row]);
    }
    for (int lane = 0; lane < warpSize; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint16_t first = transposed ? m[2 * t][g] : m[g][2 * t];
      const uint16_t second = transposed ? m[2 * t + 1][g] : m[g][2 * t + 1];
      const Ldmatrix& to = *static_cast<const Ldmatrix*>(operands[lane]);
      if constexpr (kRacecheck) noteMatrix(rows, transposed, *to.thread, to.place);
      to.r[i] = uint32_t{first} | uint32_t{second} << 16;
    }
  }
}

template void ldmatrix<false>(void* const*, uint32_t);
template void ldmatrix<true>(void* const*, uint32_t);

const void* here() { return __builtin_return_address(0); }

void copyLater(void* shared, const void* global, bool valid, const void* place) {
  Block& block = *current->block;
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || reinterpret_cast<uintptr_t>(global) % 16 != 0)
    block.fail("cpAsync16: an address is not aligned to 16 bytes");
  if (!block.shared().owns(shared, 16)) block.fail("cpAsync16: writes beside shared memory");
  block.noteCopies();
  if constexpr (kRacecheck) note(Use::Copy, shared, 16, current, place);
  current->copies.push_back({shared, valid ? global : nullptr, current->copyGroup, place});
}

// Does the copies of all ended groups except the latest `pending`.
void awaitCopies(int pending) {
  std::vector<Copy>& copies = current->copies;
  size_t landed = 0;
  for (; landed < copies.size() && copies[landed].group < current->copyGroup - pending; ++landed) {
    const Copy& copy = copies[landed];
    if constexpr (kRacecheck) {
      if (copy.global) note(Use::Read, copy.global, 16, current, copy.place);
      noteLanded(copy.shared, 16, *current);
    }
    if (copy.global)
      std::memcpy(copy.shared, copy.global, 16);
    else
      std::memset(copy.shared, 0, 16);
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(landed));
}

}  // namespace lxmert::emulator
