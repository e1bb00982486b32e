// The five memories of an engine. A tensor is a place in one of them; nothing else is ever allocated on the device.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/error.h"

namespace lxmert {

enum class ArenaId : int32_t { Parameters, Gradients, State, Inputs, Workspace, Count };
constexpr int kArenas = static_cast<int>(ArenaId::Count);

struct Arena {
  char* base = nullptr;
  int64_t bytes = 0;
  std::shared_ptr<char> memory;  // given back with the last of its owners: this arena, and work that was enqueued on it
};

template <class T>
struct Span {
  T* data = nullptr;
  int64_t size = 0;

  explicit operator bool() const { return data != nullptr; }
  T& operator[](int64_t i) const { return data[i]; }
};

}  // namespace lxmert
