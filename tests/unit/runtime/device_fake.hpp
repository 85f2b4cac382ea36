// What a model on the device of device_fake.cpp does in place of a kernel.
#pragma once

#include <cstddef>
#include <functional>

#include "ait/device.hpp"

namespace ait::device {

// In place of a kernel's own faults.
bool is_device_memory(const void* pointer, std::size_t bytes);

// In place of a launch: does the work now, or when the graph is launched that the stream records.
Status do_or_record(void* stream, std::function<Status()> work);

// Lets the time of events pass.
void pass_time(double seconds);

}  // namespace ait::device
