#include "engine/plugin.h"

#include <dlfcn.h>

namespace lxmert {

const Plugin& openPlugin(const std::string& path) {
  // The library is never closed, because threads of its libraries may still run after all engines have ended.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) {
    const char* why = dlerror();
    throw Error(ErrorCode::NoDevice, path + " does not load: " + (why ? why : "the system gives no reason"));
  }
  const auto entry = reinterpret_cast<PluginEntry>(dlsym(library, kPluginEntry));
  if (!entry) throw Error(ErrorCode::NoDevice, path + " is no back end of lxmert: it has no " + kPluginEntry);
  const Plugin* plugin = entry();
  if (plugin->abi != kPluginAbi)
    throw Error(ErrorCode::NoDevice, path + " was built from other sources than the addon; build both again");
  return *plugin;
}

}  // namespace lxmert
