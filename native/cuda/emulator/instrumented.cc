// The functions of the sanitizers. With -fsanitize=thread, compiled kernels call them before each load and store. With
// -fsanitize=alignment,bounds,shift,signed-integer-overflow, kernels call them when they make a mistake. These
// functions replace the sanitizers' own libraries, which support the threads of a CPU but not those of a device. A
// fault that they find is an error of the launch. Host code calls the same functions; for host code only mistakes are
// reported.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda/emulator/block.h"
#include "cuda/emulator/fiber.h"
#include "cuda/emulator/uses.h"

using lxmert::emulator::current;
using lxmert::emulator::kStackBytes;
using lxmert::emulator::note;
using lxmert::emulator::Use;

namespace {

// The variables of a thread are on its stack, above the function that the thread calls.
inline void use(Use how, const void* address, size_t bytes, const void* place, const void* frame) {
  if (!current ||
      static_cast<size_t>(static_cast<const char*>(address) - static_cast<const char*>(frame)) < kStackBytes)
    return;
  note(how, address, bytes, current, place);
}

// An access whose alignment is smaller than its size. nvcc, too, splits such an access.
inline void useWords(Use how, const void* address, size_t bytes, const void* place, const void* frame) {
  constexpr size_t kWord = 4;
  for (size_t i = 0; i < bytes; i += kWord)
    use(how, static_cast<const char*>(address) + i, std::min(kWord, bytes - i), place, frame);
}

// The first fields of the data that the compiler passes for any mistake.
struct Mistake {
  const char* file;
  uint32_t line, column;
};
struct Pointer {
  Mistake at;
  const struct {
    uint16_t kind, details;
    char name[1];
  } * type;
  unsigned char alignment, action;  // alignment, as an exponent of two; kind of the access (0: a load, 1: a store)
};

[[noreturn]] void tell(const Mistake& at, const std::string& what) {
  const std::string file = at.file,
                    text = what + " at " + file.substr(file.rfind('/') + 1) + ":" + std::to_string(at.line);
  if (current) current->block->fail(text);
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
}

}  // namespace

extern "C" {  // NOLINTBEGIN

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

// The place where the function was called, and the address at which its caller's variables begin.
#define LXMERT_TELL(use, how, address, bytes) \
  use(how, address, bytes, __builtin_return_address(0), __builtin_frame_address(0))
#define LXMERT_USE(how, address, bytes) LXMERT_TELL(use, how, address, bytes)

#define LXMERT_ACCESS(name, use, how, bytes) \
  void __tsan_##name(void* address) { LXMERT_TELL(use, how, address, bytes); }
#define LXMERT_ACCESSES(bytes)                                     \
  LXMERT_ACCESS(read##bytes, use, Use::Read, bytes)                \
  LXMERT_ACCESS(write##bytes, use, Use::Write, bytes)              \
  LXMERT_ACCESS(unaligned_read##bytes, useWords, Use::Read, bytes) \
  LXMERT_ACCESS(unaligned_write##bytes, useWords, Use::Write, bytes)
LXMERT_ACCESSES(1)
LXMERT_ACCESSES(2)
LXMERT_ACCESSES(4)
LXMERT_ACCESSES(8)
LXMERT_ACCESSES(16)
void __tsan_read_range(void* address, size_t bytes) { LXMERT_TELL(useWords, Use::Read, address, bytes); }
void __tsan_write_range(void* address, size_t bytes) { LXMERT_TELL(useWords, Use::Write, address, bytes); }

#define LXMERT_UPDATE(bits, type, name, operation)                    \
  type __tsan_atomic##bits##_##name(type* address, type value, int) { \
    LXMERT_USE(Use::Atomic, address, sizeof(type));                   \
    return operation(address, value, __ATOMIC_SEQ_CST);               \
  }
#define LXMERT_EXCHANGE(bits, type, name)                                                                    \
  int __tsan_atomic##bits##_compare_exchange_##name(type* address, type* expected, type value, int, int) {   \
    LXMERT_USE(Use::Atomic, address, sizeof(type));                                                          \
    return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define LXMERT_ATOMICS(bits, type)                                   \
  type __tsan_atomic##bits##_load(type* address, int) {              \
    LXMERT_USE(Use::Atomic, address, sizeof(type));                  \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);               \
  }                                                                  \
  void __tsan_atomic##bits##_store(type* address, type value, int) { \
    LXMERT_USE(Use::Atomic, address, sizeof(type));                  \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);              \
  }                                                                  \
  LXMERT_EXCHANGE(bits, type, strong)                                \
  LXMERT_EXCHANGE(bits, type, weak)                                  \
  LXMERT_UPDATE(bits, type, exchange, __atomic_exchange_n)           \
  LXMERT_UPDATE(bits, type, fetch_add, __atomic_fetch_add)           \
  LXMERT_UPDATE(bits, type, fetch_sub, __atomic_fetch_sub)           \
  LXMERT_UPDATE(bits, type, fetch_and, __atomic_fetch_and)           \
  LXMERT_UPDATE(bits, type, fetch_or, __atomic_fetch_or)             \
  LXMERT_UPDATE(bits, type, fetch_xor, __atomic_fetch_xor)
LXMERT_ATOMICS(8, uint8_t)
LXMERT_ATOMICS(16, uint16_t)
LXMERT_ATOMICS(32, uint32_t)
LXMERT_ATOMICS(64, uint64_t)
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

void __ubsan_handle_type_mismatch_v1_abort(const Pointer* p, uintptr_t address) {
  tell(p->at, std::string(p->action == 1 ? "a store" : "a load") + " of " + p->type->name +
                  " at an address that is not a multiple of " + std::to_string(1u << p->alignment) + " (but of " +
                  std::to_string(address & -address) + ")");
}
#define LXMERT_MISTAKE(name, what) \
  void __ubsan_handle_##name##_abort(const Mistake* at) { tell(*at, what); }
LXMERT_MISTAKE(out_of_bounds, "an index beyond its array")
LXMERT_MISTAKE(shift_out_of_bounds, "a shift by too many bits, or of a negative number")
LXMERT_MISTAKE(add_overflow, "a sum that its type cannot hold")
LXMERT_MISTAKE(sub_overflow, "a difference that its type cannot hold")
LXMERT_MISTAKE(mul_overflow, "a product that its type cannot hold")
LXMERT_MISTAKE(negate_overflow, "a negation that its type cannot hold")
LXMERT_MISTAKE(divrem_overflow, "a quotient that its type cannot hold, or a division by zero")

}  // NOLINTEND
