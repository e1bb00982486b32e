// Opens NVIDIA's libraries at run time. If one is missing, the error says how to get it.
#pragma once

#include <string>
#include <vector>

namespace lxmert::cuda {

struct NvidiaLibrary {
  const char* what;                // a text that describes the library, for messages
  const char* prefix;              // prefix of its functions' names
  std::vector<std::string> names;  // names of its file, the newest version first
  const char* variable;            // environment variable that names a file; no other file is tried then
  const char* note;                // name of a file beside the plugin in which the build noted a path
  const char* remedy;              // how to get the library, for messages
};

class OpenedLibrary {
 public:
  // Opens the file that the variable names. If it is not set, tries the system's library path, the plugin's own folder,
  // the toolkit, the path that the build recorded, and the wheels of Python environments. Throws NoDevice.
  explicit OpenedLibrary(const NvidiaLibrary& library);
  // Functions that are linked into this file: `find` takes a name without the prefix.
  static OpenedLibrary linked(const char* file, void* (*find)(const std::string& name));

  // A function by its name without the prefix. Throws NoDevice when the library does not have it.
  void* function(const std::string& name) const;

  const std::string& file() const { return file_; }

 private:
  OpenedLibrary() = default;

  void* (*find_)(const std::string& name) = nullptr;
  std::string what_, prefix_, file_;
  void* handle_ = nullptr;  // never closed: threads of the library may outlive every engine
};

// Defines the struct Library, made from an OpenedLibrary: a pointer to each function that `list` names with its type.
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
