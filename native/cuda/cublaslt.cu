#include "cuda/cublaslt.h"

#include "cuda/nvidia_library.h"

namespace lxmert::cuda::cublaslt {

namespace {

Library load() {
  const OpenedLibrary opened({"cuBLASLt, NVIDIA's matrix products,",
                              {"libcublasLt.so.13", "libcublasLt.so.12"},
                              "LXMERT_CUBLASLT",
                              "cublaslt.path",
                              "the CUDA toolkit's, or `pip install nvidia-cublas`"});
  Library found;
#define FUNCTION(name, type) found.name = reinterpret_cast<Library::name##Function>(opened.function("cublasLt" #name));
  LXMERT_CUBLASLT(FUNCTION)
#undef FUNCTION
  found.file = opened.file();
  return found;
}

}  // namespace

const Library& open() {
  static const Library library = load();  // tried again when it throws
  return library;
}

}  // namespace lxmert::cuda::cublaslt
