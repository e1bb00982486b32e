#include "cuda/nvidia_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <fstream>

#include "engine/error.h"

namespace lxmert::cuda {

namespace {

// The path that the build noted in a file beside this plugin, or "".
std::string notedByBuild(const char* note) {
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&notedByBuild), &self) == 0) return {};
  const std::string plugin = self.dli_fname;
  std::string path;
  std::getline(std::ifstream(plugin.substr(0, plugin.rfind('/') + 1) + note), path);
  return path;
}

std::vector<std::string> candidates(const NvidiaLibrary& library) {
  if (const char* named = std::getenv(library.variable); named && *named) return {named};
  std::vector<std::string> all;
  const auto below = [&](const std::string& folder) {
    for (const std::string& name : library.names) all.push_back(folder + name);
  };
  below("");
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(variable); home && *home)
      for (const char* folder : {"/lib64/", "/lib/"}) below(std::string(home) + folder);
  for (const char* folder : {"/usr/local/cuda/lib64/", "/usr/local/cuda/lib/"}) below(folder);
  if (const std::string noted = notedByBuild(library.note); !noted.empty()) all.push_back(noted);
  return all;
}

}  // namespace

OpenedLibrary::OpenedLibrary(const NvidiaLibrary& library) : what_(library.what), prefix_(library.prefix) {
  std::string reason;
  for (const std::string& file : candidates(library)) {
    handle_ = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle_) {
      file_ = file;
      return;
    }
    if (reason.empty()) reason = dlerror();
  }
  throw Error(ErrorCode::NoDevice, what_ + " is not found (" + reason + "); install " + library.remedy +
                                       ", and name its " + library.names.front() + " in " + library.variable +
                                       ", or the folder in LD_LIBRARY_PATH");
}

void* OpenedLibrary::function(const std::string& name) const {
  const std::string whole = prefix_ + name;
  void* found = dlsym(handle_, whole.c_str());
  if (!found) throw Error(ErrorCode::NoDevice, file_ + " is not what we know as " + what_ + ": it has no " + whole);
  return found;
}

}  // namespace lxmert::cuda
