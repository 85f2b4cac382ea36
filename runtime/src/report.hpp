// What kernels on a GPU say of wrong data: owned by whoever waits for them.
#pragma once

#include <memory>

#include "ait/device.hpp"
#include "ait/launch.hpp"

namespace ait {

class Report {
 public:
  // Makes the record; on the CPU, where kernel functions return their errors, there is none.
  Status open();

  // For launches; null on the CPU.
  DeviceReport* record() const noexcept { return record_.get(); }

  // Whether a kernel has raised it. Cheap, and what is seen may be old.
  bool is_raised() const noexcept;

  // The error that was raised, if any, and forgets it. After synchronisation only.
  Status take();

 private:
  struct Release {
    void operator()(DeviceReport* record) const noexcept { device::release_mapped(record); }
  };
  std::unique_ptr<DeviceReport, Release> record_;
};

}  // namespace ait
