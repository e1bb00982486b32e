// Libraries of NVIDIA's that are opened at run time, so that a missing one is an error that says how to get it.
#pragma once

#include <string>
#include <vector>

namespace lxmert::cuda {

struct NvidiaLibrary {
  const char* what;                // in words
  const char* prefix;              // of its functions' names
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

  // By its name without the prefix. Throws NoDevice when the library has no such function.
  void* function(const std::string& name) const;

  const std::string& file() const { return file_; }

 private:
  std::string what_, prefix_, file_;
  void* handle_ = nullptr;  // never closed: threads of the library may outlive every engine
};

// The struct Library: a pointer to each of a library's functions, which `list` names with their types. Made of the opened one.
#define LXMERT_NVIDIA_LIBRARY(list)                                                                          \
  struct Library {                                                                                           \
    explicit Library(const cuda::OpenedLibrary& opened)                                                      \
        : file(opened.file()){list(LXMERT_FILLED_FUNCTION)} list(LXMERT_DECLARED_FUNCTION) std::string file; \
  };
#define LXMERT_DECLARED_FUNCTION(name, type) \
  using name##Function = type;               \
  name##Function name;
#define LXMERT_FILLED_FUNCTION(name, type) name = reinterpret_cast<name##Function>(opened.function(#name));

}  // namespace lxmert::cuda
