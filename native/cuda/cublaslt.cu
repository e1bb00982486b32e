#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace lxmert::cuda::cublaslt {

namespace {

constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

// What the build found, noted in a file beside this plugin; "" where it found none.
std::string notedByBuild() {
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&kNames), &self) == 0) return {};
  const std::string plugin = self.dli_fname;
  std::string path;
  std::getline(std::ifstream(plugin.substr(0, plugin.rfind('/') + 1) + "cublaslt.path"), path);
  return path;
}

std::vector<std::string> candidates() {
  if (const char* named = std::getenv("LXMERT_CUBLASLT"); named && *named) return {named};
  std::vector<std::string> all;
  const auto below = [&](const std::string& folder) {
    for (const char* name : kNames) all.push_back(folder + name);
  };
  below("");
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(variable); home && *home)
      for (const char* folder : {"/lib64/", "/lib/"}) below(std::string(home) + folder);
  for (const char* folder : {"/usr/local/cuda/lib64/", "/usr/local/cuda/lib/"}) below(folder);
  if (const std::string noted = notedByBuild(); !noted.empty()) all.push_back(noted);
  return all;
}

Library load() {
  std::string reasons;
  for (const std::string& file : candidates()) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
      if (reasons.empty()) reasons = dlerror();
      continue;
    }
    Library found;
    const char* absent = nullptr;
#define FUNCTION(name, type)                                                                \
  found.name = reinterpret_cast<Library::name##Function>(dlsym(library, "cublasLt" #name)); \
  if (!found.name) absent = "cublasLt" #name;
    LXMERT_CUBLASLT(FUNCTION)
#undef FUNCTION
    if (absent) throw Error(ErrorCode::NoDevice, file + " is no cuBLASLt that we know: it has no " + absent);
    found.file = file;
    return found;
  }
  throw Error(ErrorCode::NoDevice,
              "NVIDIA's matrix products (cuBLASLt) are not found (" + reasons +
                  "); install the CUDA toolkit's, or `pip install nvidia-cublas`, and name its libcublasLt.so.13 in "
                  "LXMERT_CUBLASLT, or its folder in LD_LIBRARY_PATH");
}

}  // namespace

const Library& open() {
  static const Library library = load();  // tried again when it throws
  return library;
}

}  // namespace lxmert::cuda::cublaslt
