#pragma once

#include <memory>

#include "engine/device.h"

namespace lxmert::cpu {

// Makes a device that computes on the CPU with `threads` OpenMP threads. 0 means one thread for each core that this
// process may use. Activations are float32 in both precisions.
std::unique_ptr<Device> createDevice(int threads, Precision precision);

}  // namespace lxmert::cpu
