#include "comm/nccl.h"

#include <type_traits>

namespace lxmert::nccl {

namespace {

constexpr const char* kDigits = "0123456789abcdef";

const Library& found() {
  // If the constructor throws, the next call tries again.
  static const Library library{cuda::OpenedLibrary({"NCCL, which several GPUs need,",
                                                    "nccl",
                                                    {"libnccl.so.2"},
                                                    "LXMERT_NCCL",
                                                    "nccl.path",
                                                    "the package libnccl2, or `pip install nvidia-nccl-cu13`"})};
  return library;
}

}  // namespace

#ifdef __CUDACC__
const Library& open() { return found(); }
#else
// NCCL knows nothing of the emulated device, which has its own functions (cuda/emulator/nccl.cc).
#define DECLARED(name, type) extern "C" std::remove_pointer_t<type> nccl##name;
LXMERT_NCCL(DECLARED)
#undef DECLARED

const Library& open() {
  static const Library library{cuda::OpenedLibrary::linked("the emulated NCCL", [](const std::string& wanted) {
    void* found = nullptr;
#define COMPARED(name, type) \
  if (wanted == #name) found = reinterpret_cast<void*>(&nccl##name);
    LXMERT_NCCL(COMPARED)
#undef COMPARED
    return found;
  })};
  return library;
}
#endif

std::string describe() {
  const Library& library = found();
  int version = 0;
  if (const Result result = library.GetVersion(&version); result != 0)
    throw Error(ErrorCode::NoDevice, library.file + " does not report its version: " + library.GetErrorString(result));
  return std::to_string(version / 10000) + '.' + std::to_string(version % 10000 / 100) + '.' +
         std::to_string(version % 100) + " (" + library.file + ')';
}

void check(Result result, const char* what) {
  if (result == kSuccess || result == kInProgress) return;
  throw Error(ErrorCode::RankLost, std::string("NCCL: ") + what + " failed: " + open().GetErrorString(result));
}

std::string makeId() {
  UniqueId id;
  if (const Result result = open().GetUniqueId(&id); result != kSuccess)
    throw Error(ErrorCode::NoDevice, std::string("NCCL makes no id: ") + open().GetErrorString(result));
  std::string digits;
  for (const char byte : id.bytes) {
    digits += kDigits[static_cast<unsigned char>(byte) / 16];
    digits += kDigits[static_cast<unsigned char>(byte) % 16];
  }
  return digits;
}

UniqueId idOf(const std::string& digits) {
  UniqueId id;
  if (digits.size() != 2 * sizeof(id.bytes) || digits.find_first_not_of(kDigits) != std::string::npos)
    throw Error(ErrorCode::BadArgument, "the id of the ranks does not have 256 hexadecimal digits");
  for (size_t i = 0; i < sizeof(id.bytes); ++i)
    id.bytes[i] = static_cast<char>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  return id;
}

}  // namespace lxmert::nccl
