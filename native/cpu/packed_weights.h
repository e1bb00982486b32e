// Weights of forward products in the layout that oneDNN multiplies fastest: 64 rows of W [out, in] are stored together, as
// [in, 64] (in bfloat16 as [in / 2, 64, 2]). In float32 these 64 rows fill the same bytes as before, so a weight is
// packed in place and needs no more memory. In bfloat16 it fills the first half of them. The second half is kept: giving
// its pages back to the system split the huge pages, and products then took two to five times as long.
//
// Packed weights are for inference. They are found by their address. A copy from or to the weight, and a backward
// product, get the plain values. No other op may read or write a packed weight.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/device.h"

namespace lxmert::cpu {

// Rows of a block. A part of a packed weight can be used if it begins and ends at a block, such as the query of a fused
// query, key and value.
constexpr int64_t kPackedRows = 64;

struct PackedWeight {
  const void* data;
  Precision precision;
};

// The packed form of rows [0, out) of the weight at this address; nothing if it is not packed. If the weight is packed
// and the rows are not whole blocks of it, makes it plain again.
std::optional<PackedWeight> packedAt(const float* weight, int64_t out, int64_t in);

// Copies the values of a packed weight, or of whole blocks of it, to `plain` [out, in].
void unpackTo(const PackedWeight& weight, int64_t out, int64_t in, float* plain);

// Makes all packed weights plain again that share bytes with this memory.
void unpackTouched(const char* memory, int64_t bytes);

// Forgets the packed weights in memory that is released.
void forgetPacked(const char* memory, int64_t bytes);

}  // namespace lxmert::cpu
