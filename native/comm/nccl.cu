#include "comm/nccl.h"

namespace lxmert::nccl {

const Library& open() {
  // If the constructor throws, the next call of open() tries again.
  static const Library library{cuda::OpenedLibrary({"NCCL, which several GPUs need,",
                                                    "nccl",
                                                    {"libnccl.so.2"},
                                                    "LXMERT_NCCL",
                                                    "nccl.path",
                                                    "the package libnccl2, or `pip install nvidia-nccl-cu13`"})};
  return library;
}

std::string describe() {
  const Library& library = open();
  int version = 0;
  if (const Result result = library.GetVersion(&version); result != 0)
    throw Error(ErrorCode::NoDevice, library.file + " does not report its version: " + library.GetErrorString(result));
  return std::to_string(version / 10000) + '.' + std::to_string(version % 10000 / 100) + '.' +
         std::to_string(version % 100) + " (" + library.file + ')';
}

}  // namespace lxmert::nccl
