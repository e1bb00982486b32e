#include "cuda/cublaslt.h"

namespace lxmert::cuda::cublaslt {

const Library& open() {
  // If this throws, the next call tries again.
  static const Library library{OpenedLibrary({"cuBLASLt, NVIDIA's matrix products,",
                                              "cublasLt",
                                              {"libcublasLt.so.13", "libcublasLt.so.12"},
                                              "LXMERT_CUBLASLT",
                                              "cublaslt.path",
                                              "the CUDA toolkit's, or `pip install nvidia-cublas`"})};
  return library;
}

}  // namespace lxmert::cuda::cublaslt
