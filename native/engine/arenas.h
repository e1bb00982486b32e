// The six arenas of an engine. The memory of every tensor is in one of them. The engine allocates no other device
// memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "engine/error.h"

namespace lxmert {

enum class ArenaId : int32_t { Parameters, Gradients, State, Inputs, Workspace, Features, Count };
constexpr int kArenas = static_cast<int>(ArenaId::Count);

// Bytes of each arena.
using ArenaSizes = std::array<int64_t, kArenas>;

struct Arena {
  char* base = nullptr;
  int64_t bytes = 0;
  std::shared_ptr<char> memory;  // released by its last owner: this arena, or enqueued work that uses the memory
};

template <class T>
struct Span {
  T* data = nullptr;
  int64_t size = 0;

  explicit operator bool() const { return data != nullptr; }
  T& operator[](int64_t i) const { return data[i]; }
};

// F16 is a storage format, on any device. No op computes in it.
enum class DType : int32_t { F32, BF16, F16 };

constexpr int64_t bytesOf(DType dtype) { return dtype == DType::F32 ? 4 : 2; }
constexpr const char* nameOf(DType dtype) {
  return dtype == DType::F32 ? "f32" : dtype == DType::BF16 ? "bf16" : "f16";
}

// A tensor of activations: float32, or bfloat16 on a device that computes in it. Use `data` only for F32; otherwise use
// as<T>(), where T is the element type that `dtype` names.
struct Values : Span<float> {
  DType dtype = DType::F32;

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
};

}  // namespace lxmert
