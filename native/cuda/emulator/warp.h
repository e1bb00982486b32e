// Operations of the lanes of a warp. Every lane that the mask names must call the same function with the same mask, and
// a lane may read only lanes of the mask. On a device, a call that breaks one of these rules gives random values. The
// emulator reports an error.
#pragma once

#include <bit>
#include <string>

#include "cuda/emulator/block.h"

namespace lxmert::emulator {

// Calls body(lane) for each lane of the mask.
template <class Body>
inline void forLanes(uint32_t mask, Body&& body) {
  for (; mask != 0; mask &= mask - 1) body(std::countr_zero(mask));
}

template <class T>
struct Shuffle {
  T value, result;
  int source;
};

template <class T>
T shuffle(uint32_t mask, T value, int source, const char* name, Place place) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "the device shuffles 4 or 8 bytes");
  if (!(mask >> source & 1))
    current->block->fail(std::string(name) + ": lane " + std::to_string(current->lane) + " reads lane " +
                         std::to_string(source) + ", which the mask lacks");
  Shuffle<T> mine{value, value, source};
  current->block->meet(
      mask, name,
      [](void* const* operands, uint32_t lanes) {
        forLanes(lanes, [&](int lane) {
          auto* to = static_cast<Shuffle<T>*>(operands[lane]);
          to->result = static_cast<const Shuffle<T>*>(operands[to->source])->value;
        });
      },
      &mine, place);
  return mine.result;
}

struct Vote {
  bool yes;
  uint32_t ballot;
};

inline uint32_t ballot(uint32_t mask, bool yes, const char* name, Place place) {
  Vote mine{yes, 0};
  current->block->meet(
      mask, name,
      [](void* const* operands, uint32_t lanes) {
        uint32_t votes = 0;
        forLanes(lanes, [&](int lane) { votes |= uint32_t{static_cast<Vote*>(operands[lane])->yes} << lane; });
        forLanes(lanes, [&](int lane) { static_cast<Vote*>(operands[lane])->ballot = votes; });
      },
      &mine, place);
  return mine.ballot;
}

}  // namespace lxmert::emulator

// NOLINTBEGIN: CUDA's own names
inline void __syncwarp(uint32_t mask = ~0u, ::lxmert::emulator::Place place = {}) {
  ::lxmert::emulator::current->block->meet(
      mask, "__syncwarp", [](void* const*, uint32_t lanes) { ::lxmert::emulator::current->block->syncWarp(lanes); },
      nullptr, place);
}

// Lanes form groups of `width` (a power of two). If the source is beyond the end of the group, it is the lane itself,
// as on the device.
template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, ::lxmert::emulator::Place place = {}) {
  const int first = ::lxmert::emulator::current->lane & ~(width - 1);
  return ::lxmert::emulator::shuffle(mask, value, first + (source & (width - 1)), "__shfl_sync", place);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int with, int width = 32, ::lxmert::emulator::Place place = {}) {
  const int lane = ::lxmert::emulator::current->lane, source = lane ^ with;
  const bool inside = source < (lane & ~(width - 1)) + width;
  return ::lxmert::emulator::shuffle(mask, value, inside ? source : lane, "__shfl_xor_sync", place);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned int by, int width = 32, ::lxmert::emulator::Place place = {}) {
  const int lane = ::lxmert::emulator::current->lane, source = lane + static_cast<int>(by);
  const bool inside = source < (lane & ~(width - 1)) + width;
  return ::lxmert::emulator::shuffle(mask, value, inside ? source : lane, "__shfl_down_sync", place);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned int by, int width = 32, ::lxmert::emulator::Place place = {}) {
  const int lane = ::lxmert::emulator::current->lane, source = lane - static_cast<int>(by);
  const bool inside = source >= (lane & ~(width - 1));
  return ::lxmert::emulator::shuffle(mask, value, inside ? source : lane, "__shfl_up_sync", place);
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate, ::lxmert::emulator::Place place = {}) {
  return ::lxmert::emulator::ballot(mask, predicate != 0, "__ballot_sync", place);
}
inline int __any_sync(uint32_t mask, int predicate, ::lxmert::emulator::Place place = {}) {
  return ::lxmert::emulator::ballot(mask, predicate != 0, "__any_sync", place) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, ::lxmert::emulator::Place place = {}) {
  return ::lxmert::emulator::ballot(mask, predicate != 0, "__all_sync", place) == mask;
}
// NOLINTEND
