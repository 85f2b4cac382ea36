#include "report.hpp"

namespace ait {

Status Report::open() {
  if (device::kind() == AIT_CPU) return ok();
  void* memory = nullptr;
  AIT_TRY(device::allocate_mapped(sizeof(DeviceReport), &memory));
  record_.reset(static_cast<DeviceReport*>(memory));
  return ok();
}

bool Report::is_raised() const noexcept {
  // A device writes it behind the compiler's back.
  return record_ != nullptr && static_cast<volatile const DeviceReport*>(record_.get())->is_raised;
}

Status Report::take() {
  if (!is_raised()) return ok();
  const DeviceReport found = *record_;
  *record_ = DeviceReport{};
  return error(AIT_RUNTIME_ERROR,
               "gather: index %lld (element %lld of the indices) is outside of [0, %lld)",
               static_cast<long long>(found.index), static_cast<long long>(found.position),
               static_cast<long long>(found.extent));
}

}  // namespace ait
