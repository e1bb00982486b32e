#include "cuda/emulator/trace.h"

#include <cstdio>
#include <cstdlib>

namespace lxmert::emulator {

void trace(const char* kind, const char* name) {
  static std::FILE* const file = [] {
    const char* path = std::getenv("LXMERT_EMULATOR_TRACE");
    std::FILE* opened = path && *path ? std::fopen(path, "a") : nullptr;
    if (opened) std::setvbuf(opened, nullptr, _IOLBF, BUFSIZ);
    return opened;
  }();
  if (file) std::fprintf(file, *name ? "%s %s\n" : "%s\n", kind, name);
}

}  // namespace lxmert::emulator
