#include "comm/nccl.h"

#include "cuda/nvidia_library.h"

namespace lxmert::nccl {

namespace {

Library load() {
  const cuda::OpenedLibrary opened({"NCCL, which several GPUs need,",
                                    {"libnccl.so.2"},
                                    "LXMERT_NCCL",
                                    "nccl.path",
                                    "the package libnccl2, or `pip install nvidia-nccl-cu13`"});
  Library found;
#define FUNCTION(name, type) found.name = reinterpret_cast<Library::name##Function>(opened.function("nccl" #name));
  LXMERT_NCCL(FUNCTION)
#undef FUNCTION
  found.file = opened.file();
  return found;
}

}  // namespace

const Library& open() {
  static const Library library = load();  // tried again when it throws
  return library;
}

std::string describe() {
  const Library& library = open();
  int version = 0;
  if (const Result result = library.GetVersion(&version); result != 0)
    throw Error(ErrorCode::NoDevice, library.file + " does not tell its version: " + library.GetErrorString(result));
  return std::to_string(version / 10000) + '.' + std::to_string(version % 10000 / 100) + '.' +
         std::to_string(version % 100) + " (" + library.file + ')';
}

}  // namespace lxmert::nccl
