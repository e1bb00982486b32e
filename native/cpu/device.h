#pragma once

#include <memory>

#include "engine/device.h"

namespace lxmert::cpu {

// The CPU as a device with `threads` OpenMP threads; 0: one for each core that this process may use. Activations are
// float32 in either precision.
std::unique_ptr<Device> createDevice(int threads, Precision precision);

}  // namespace lxmert::cpu
