// A stack of its own for a thread of the device: Boost.Context switches, the address sanitizer is told.
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

// Arrays that are registers on the device lie here; the address sanitizer puts zones between them.
constexpr size_t kStackBytes = LXMERT_ASAN ? 512 * 1024 : 128 * 1024;

class Fiber {
 public:
  // The stack that is running already.
  Fiber() = default;
  // A stack of its own, behind a page that may not be touched. `number` spreads the tops over the cache's sets.
  explicit Fiber(int number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next switch here calls `main`, which must never return; what was on the stack is forgotten.
  void restart(void (*main)());
  // Goes on there; returns when somebody switches back here. Both belong to one thread of the CPU.
  void switchTo(Fiber& other) {
    Switch both{this, &other};
#if LXMERT_ASAN
    __sanitizer_start_switch_fiber(&fakeStack_, other.bottom_, other.bytes_);
#endif
    arrive(boost::context::detail::jump_fcontext(other.context_, &both));
  }

 private:
  using Transfer = boost::context::detail::transfer_t;
  // What a switch hands over: who comes and where to.
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
  char* memory_ = nullptr;  // lowest byte, the guard page
  char* top_ = nullptr;
  void (*main_)() = nullptr;
  // For the address sanitizer: the bounds of the stack, and what it keeps beside it.
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fakeStack_ = nullptr;
};

}  // namespace lxmert::emulator
