// The functions of ptx.cuh as loops. They check addresses and alignment as hardware would.
#pragma once

#include "cuda/platform.h"

namespace lxmert::emulator {

struct Mma {
  float* d;
  const uint32_t *a, *b;
};
void mma(void* const* operands, uint32_t mask);

struct Ldmatrix {
  uint32_t* r;
  const void* row;
  const Thread* thread;
  const void* place;  // the address of the call in the program
};
template <bool transposed>
void ldmatrix(void* const* operands, uint32_t mask);

// The place of the call.
const void* here();

template <bool transposed>
__forceinline__ void ldmatrix(uint32_t (&r)[4], const void* row, const char* name, Place place) {
  Ldmatrix mine{r, row, current, here()};
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    current->block->fail(std::string(name) + ": an address is not aligned to 16 bytes");
  if (!current->block->shared().owns(row, 16)) current->block->fail(std::string(name) + ": reads beside shared memory");
  current->block->meet(~0u, name, &ldmatrix<transposed>, &mine, place);
}

void copyLater(void* shared, const void* global, bool valid, const void* place);
void awaitCopies(int pending);

}  // namespace lxmert::emulator

namespace lxmert::cuda {

inline void mma16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], emulator::Place place = {}) {
  emulator::Mma mine{d, a, b};
  emulator::current->block->meet(~0u, "mma16816", &emulator::mma, &mine, place);
}

__forceinline__ void ldmatrixX4(uint32_t (&r)[4], const void* shared, emulator::Place place = {}) {
  emulator::ldmatrix<false>(r, shared, "ldmatrixX4", place);
}
__forceinline__ void ldmatrixX4Trans(uint32_t (&r)[4], const void* shared, emulator::Place place = {}) {
  emulator::ldmatrix<true>(r, shared, "ldmatrixX4Trans", place);
}

__forceinline__ void cpAsync16(void* shared, const void* global, bool valid) {
  emulator::copyLater(shared, global, valid, emulator::here());
}
inline void cpAsyncCommit() { ++emulator::current->copyGroup; }
template <int pending>
void cpAsyncWait() {
  emulator::awaitCopies(pending);
}

}  // namespace lxmert::cuda
