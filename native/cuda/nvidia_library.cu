#include "cuda/nvidia_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/error.h"

namespace lxmert::cuda {

namespace {

// The folder of this plugin with a slash at its end, or "".
std::string ownFolder() {
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&ownFolder), &self) == 0) return {};
  const std::string plugin = self.dli_fname;
  return plugin.substr(0, plugin.rfind('/') + 1);
}

std::string firstLine(const std::string& file) {
  std::string line;
  std::getline(std::ifstream(file), line);
  return line;
}

std::string variableOf(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Where Python environments are installed: the active one, the one whose python3 comes first in PATH, the user's, the
// system's. Each has its packages in lib/python3.N.
std::vector<std::string> pythonPrefixes() {
  std::vector<std::string> all = {variableOf("VIRTUAL_ENV"), variableOf("CONDA_PREFIX")};
  std::istringstream path(variableOf("PATH"));
  for (std::string folder; std::getline(path, folder, ':');)
    if (access((folder + "/python3").c_str(), X_OK) == 0) {
      all.push_back(folder + "/..");
      break;
    }
  if (const std::string home = variableOf("HOME"); !home.empty()) all.push_back(home + "/.local");
  all.insert(all.end(), {"/usr/local", "/usr"});
  std::erase(all, "");
  return all;
}

std::vector<std::string> filesLike(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return files;
}

// The files in the order in which they are tried. If the plugin was copied to another machine, the path that the build
// noted does not exist there. Therefore the wheels of Python environments are searched, too.
std::vector<std::string> candidates(const NvidiaLibrary& library) {
  if (const std::string named = variableOf(library.variable); !named.empty()) return {named};
  std::vector<std::string> all;
  const auto below = [&](const std::string& folder) {
    for (const std::string& name : library.names) all.push_back(folder + name);
  };
  below("");
  below(ownFolder());
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string home = variableOf(variable); !home.empty())
      for (const char* folder : {"/lib64/", "/lib/"}) below(home + folder);
  for (const char* folder : {"/usr/local/cuda/lib64/", "/usr/local/cuda/lib/"}) below(folder);
  if (const std::string noted = firstLine(ownFolder() + library.note); !noted.empty()) all.push_back(noted);
  for (const std::string& prefix : pythonPrefixes())
    for (const char* packages : {"site-packages", "dist-packages"})
      for (const std::string& name : library.names)
        for (const std::string& file : filesLike(prefix + "/lib/python3*/" + packages + "/nvidia/*/lib/" + name))
          all.push_back(file);
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
    // The error of a file that exists but does not load is more useful than the error of a missing file.
    const char* why = dlerror();
    if (reason.empty() || access(file.c_str(), F_OK) == 0) reason = why ? why : file;
  }
  throw Error(ErrorCode::NoDevice, what_ + " is not found (" + reason + "); install " + library.remedy +
                                       ", and name its " + library.names.front() + " in " + library.variable +
                                       ", or the folder in LD_LIBRARY_PATH");
}

OpenedLibrary OpenedLibrary::linked(const char* file, void* (*find)(const std::string&)) {
  OpenedLibrary self;
  self.file_ = file;
  self.find_ = find;
  return self;
}

void* OpenedLibrary::function(const std::string& name) const {
  if (find_) return find_(name);
  const std::string whole = prefix_ + name;
  void* found = dlsym(handle_, whole.c_str());
  if (!found) throw Error(ErrorCode::NoDevice, file_ + " is not a known version of " + what_ + ": it has no " + whole);
  return found;
}

}  // namespace lxmert::cuda
