#include "cuda/emulator/fiber.h"

#include <sys/mman.h>

#include <new>

namespace lxmert::emulator {

namespace {

constexpr size_t kGuardBytes = 4096;

}  // namespace

Fiber::Fiber(int number) {
  constexpr size_t kAll = kGuardBytes + kStackBytes;
  void* memory = mmap(nullptr, kAll, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  mprotect(memory_, kGuardBytes, PROT_NONE);
  // If the tops of all stacks had the same offset, they would use the same few sets of the cache.
  top_ = memory_ + kAll - number % 61 * 576;
  bottom_ = memory_ + kGuardBytes;
  bytes_ = top_ - memory_ - kGuardBytes;
}

Fiber::~Fiber() {
  if (memory_) munmap(memory_, kGuardBytes + kStackBytes);
}

void Fiber::restart(void (*main)()) {
#if LXMERT_ASAN
  __asan_unpoison_memory_region(bottom_, bytes_);
#endif
  main_ = main;
  context_ = boost::context::detail::make_fcontext(top_, bytes_, &Fiber::enter);
}

void Fiber::enter(Transfer transfer) {
  Fiber& me = *static_cast<Switch*>(transfer.data)->to;
  me.arrive(transfer);
  me.main_();
  __builtin_unreachable();
}

}  // namespace lxmert::emulator
