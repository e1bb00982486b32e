#include "cuda/emulator/source_place.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>

namespace lxmert::emulator {

namespace {

const char kAnchor = 0;  // any address in this program or library

std::string outputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return output;
  char part[256];
  while (std::fgets(part, sizeof part, pipe)) output += part;
  pclose(pipe);
  return output;
}

// Turns "/a/b.cuh:12 (discriminator 3)" into "b.cuh:12".
std::string shortened(const std::string& line) {
  const size_t slash = line.rfind('/');
  const std::string name = slash == std::string::npos ? line : line.substr(slash + 1);
  return name.substr(0, name.find(' '));
}

}  // namespace

int32_t offsetOf(const void* place) {
  return place ? static_cast<int32_t>(static_cast<const char*>(place) - &kAnchor) : 0;
}

std::string sourceOf(int32_t offset) {
  // A return address is the address of the next instruction, so the call is before it.
  const char* const place = &kAnchor + offset - 1;
  Dl_info library;
  char text[64];
  std::snprintf(text, sizeof text, "%p", static_cast<const void*>(place));
  if (dladdr(&kAnchor, &library) == 0) return text;
  char address[32];
  std::snprintf(address, sizeof address, "0x%zx", static_cast<size_t>(place - static_cast<char*>(library.dli_fbase)));
  const std::string lines = outputOf(std::string("addr2line -i -e '") + library.dli_fname + "' " + address + " 2>&1");
  std::string result;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size());
    const std::string line = shortened(lines.substr(begin, end - begin));
    if (line.find(".cu") != std::string::npos) result += (result.empty() ? "" : ", inlined at ") + line;
    begin = end + 1;
  }
  return result.empty() ? text : result;
}

}  // namespace lxmert::emulator
