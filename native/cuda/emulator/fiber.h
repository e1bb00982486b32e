// A stack for one thread of the device. Boost.Context switches between stacks, and the address sanitizer is informed.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define LXMERT_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define LXMERT_ASAN 0
#endif

namespace lxmert::emulator {

// Large, because arrays that are in registers on the device are on this stack, and the address sanitizer puts zones
// between them.
constexpr size_t kStackBytes = LXMERT_ASAN ? 512 * 1024 : 128 * 1024;

class Fiber {
 public:
  // The fiber of the stack that is already running.
  Fiber() = default;
  // A new stack with a guard page below it. `number` gives the tops of different stacks different sets of the cache.
  explicit Fiber(int number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next switch to this fiber calls `main`, which must never return. The stack's contents are lost.
  void restart(void (*main)());
  // Runs this fiber. Returns when another fiber switches back. Both must belong to one thread of the CPU.
  void switchTo(Fiber& other) {
    Switch both{this, &other};
#if LXMERT_ASAN
    __sanitizer_start_switch_fiber(&fakeStack_, other.bottom_, other.bytes_);
#endif
    arrive(boost::context::detail::jump_fcontext(other.context_, &both));
  }

 private:
  using Transfer = boost::context::detail::transfer_t;
  // The data that a switch passes: the fiber that stops, and the fiber that continues.
  struct Switch {
    Fiber *from, *to;
  };
  static void enter(Transfer transfer);
  void arrive(Transfer transfer) {
    Fiber& from = *static_cast<Switch*>(transfer.data)->from;
    from.context_ = transfer.fctx;
#if LXMERT_ASAN
    __sanitizer_finish_switch_fiber(fakeStack_, &from.bottom_, &from.bytes_);
#endif
  }

  boost::context::detail::fcontext_t context_ = nullptr;
  char* memory_ = nullptr;  // the lowest byte, which is in the guard page
  char* top_ = nullptr;
  void (*main_)() = nullptr;
  // For the address sanitizer: the bounds of the stack, and a pointer that the sanitizer uses.
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fakeStack_ = nullptr;
};

}  // namespace lxmert::emulator
