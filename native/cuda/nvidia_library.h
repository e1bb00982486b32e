// Libraries of NVIDIA's that are opened at run time, so that a missing one is an error that says how to get it.
#pragma once

#include <string>
#include <vector>

namespace lxmert::cuda {

struct NvidiaLibrary {
  const char* what;                // in words
  std::vector<std::string> names;  // of its file, the newest version first
  const char* variable;            // of the environment: names a file, and then no other is tried
  const char* note;                // a file beside the plugin, in which the build has noted where it found one
  const char* remedy;              // how to get it
};

class OpenedLibrary {
 public:
  // Tries the file that the variable names, else what the system finds, the toolkit's, and what the build noted. Throws
  // NoDevice.
  explicit OpenedLibrary(const NvidiaLibrary& library);

  // Throws NoDevice when the library has no such function.
  void* function(const std::string& name) const;

  const std::string& file() const { return file_; }

 private:
  std::string what_, file_;
  void* handle_ = nullptr;  // never closed: threads of the library may outlive every engine
};

}  // namespace lxmert::cuda
