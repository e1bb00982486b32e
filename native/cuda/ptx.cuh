// Instructions that CUDA C++ does not offer. This is the only inline assembly of the project. emulator/ptx.h has the
// same functions for the emulator. Source: PTX ISA 9, matrix fragments of mma.m16n8k16 (bf16), ldmatrix, cp.async.
#pragma once

#include "cuda/platform.h"

#ifndef __CUDACC__
#include "cuda/emulator/ptx.h"
#else

namespace lxmert::cuda {

// d [16, 8] += a [16, 16] b [16, 8] by a whole warp, bfloat16 operands and float32 result. Lane l = 4 g + t holds
//   a: columns 2t, 2t + 1 of rows g and g + 8 (a[0], a[1]), and columns 2t + 8, 2t + 9 of the same rows (a[2], a[3]);
//   b: column g of rows 2t, 2t + 1 (b[0]) and of rows 2t + 8, 2t + 9 (b[1]);
//   d: columns 2t, 2t + 1 of row g (d[0], d[1]) and of row g + 8 (d[2], d[3]).
__device__ __forceinline__ void mma16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ uint32_t sharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Loads four 8 x 8 matrices of bfloat16. Lane 8 i + j gives the address (aligned to 16 bytes) of row j of matrix i.
// Lane l = 4 g + t gets columns 2t, 2t + 1 of row g of matrix i in r[i].
__device__ __forceinline__ void ldmatrixX4(uint32_t (&r)[4], const void* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(shared))
               : "memory");
}

// The same, transposed: lane l gets rows 2t, 2t + 1 of column g.
__device__ __forceinline__ void ldmatrixX4Trans(uint32_t (&r)[4], const void* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(sharedAddress(shared))
               : "memory");
}

// Copies 16 bytes asynchronously; both addresses must be aligned to 16 bytes. If `valid` is false, it writes 16 zeros
// and does not read. This thread may read the bytes after cpAsyncWait. Other threads may read them after a barrier that
// follows cpAsyncWait.
__device__ __forceinline__ void cpAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
               : "memory");
}

// Ends a group of copies.
__device__ __forceinline__ void cpAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all groups of this thread except the last `pending` groups.
template <int pending>
__device__ __forceinline__ void cpAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

}  // namespace lxmert::cuda

#endif
