// A back end in a separate library, opened at run time, so that the addon does not need the libraries of the back end.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "engine/device.h"

namespace lxmert {

struct DeviceOptions {
  Precision precision = Precision::Float32;
  // Multiprocessors that products leave free, for the sums over ranks that run beside them.
  int freeMultiprocessors = 0;
  int ordinal = 0;  // number of the device, if there are several; beyond the last one the count begins again
};

// What the library's one C function returns.
struct Plugin {
  // kPluginAbi of the headers that the library was built with. The other fields are valid only if this number equals
  // kPluginAbi of the addon.
  uint64_t abi;
  // Describes the device and the libraries it uses. Throws NoDevice with what is missing and how to get it.
  std::string (*describe)(int ordinal);
  // Describes the library for communication among several devices. A run on one device does not need this library.
  // Throws NoDevice.
  std::string (*describeNccl)();
  // Makes the id of a group of ranks (RankGroup) on one of them. Throws NoDevice.
  std::string (*makeRankId)();
  // Throws NoDevice.
  std::unique_ptr<Device> (*open)(const DeviceOptions& options);
};

// Throws NoDevice if there is no such library, or if it does not fit this addon. A library is never closed.
const Plugin& openPlugin(const std::string& path);

using PluginEntry = const Plugin* (*)();
constexpr const char* kPluginEntry = "lxmertPlugin";

// A hash of everything that must be the same in the addon and in the library: the op table, the sizes of its arguments,
// and a number. Increase this number when a change of the engine's headers does not change the table or the sizes.
constexpr uint64_t pluginAbi() {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * 1099511628211ull; };
  const auto addName = [&](std::string_view name) {
    for (const char c : name) add(static_cast<unsigned char>(c));
  };
  constexpr uint64_t kVersion = 9;
  add(kVersion);
#define OP(name, Args) \
  addName(#name);      \
  add(sizeof(Args));
  LXMERT_OPS(OP)
#undef OP
  add(sizeof(OpColumn));
  add(sizeof(StepRecord));
  return hash;
}
constexpr uint64_t kPluginAbi = pluginAbi();

}  // namespace lxmert
