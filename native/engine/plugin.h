// A back end in a library of its own, which is opened at run time: the addon does not need what such a library needs.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "engine/device.h"

namespace lxmert {

struct DeviceOptions {
  Precision precision = Precision::Float32;
  int ordinal = 0;  // which device, of several
};

// What the library's one C function gives.
struct Plugin {
  uint64_t abi;  // kPluginAbi of the headers that it was built with; the rest is read only when it is ours
  // In words: the device and the libraries it uses. Throws NoDevice, saying what is missing and how to get it.
  std::string (*describe)(int ordinal);
  // In words: the library that several devices talk to each other by, which one does without. Throws NoDevice, likewise.
  std::string (*describeNccl)();
  // Throws NoDevice, likewise.
  std::unique_ptr<Device> (*open)(const DeviceOptions& options);
};

// Throws NoDevice when there is no such library, or none that fits this addon. A library stays open for ever.
const Plugin& openPlugin(const std::string& path);

using PluginEntry = const Plugin* (*)();
constexpr const char* kPluginEntry = "lxmertPlugin";

// A fingerprint of what both sides must see alike: the op table, its arguments' sizes, and a number to raise when a change
// of the engine's headers shows in neither.
constexpr uint64_t pluginAbi() {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * 1099511628211ull; };
  const auto addName = [&](std::string_view name) {
    for (const char c : name) add(static_cast<unsigned char>(c));
  };
  constexpr uint64_t kVersion = 7;
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
