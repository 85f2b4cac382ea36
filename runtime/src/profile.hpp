// How long each step of a run takes.
#pragma once

#include <vector>

#include "ait/device.hpp"
#include "ait/model.hpp"

namespace ait {

// Records the time before the first step and after each one, with events of the device.
class StepTimer final : public StepObserver {
 public:
  StepTimer() = default;
  ~StepTimer();
  StepTimer(const StepTimer&) = delete;
  StepTimer& operator=(const StepTimer&) = delete;

  Status open(int32_t steps);
  Status begin_run(void* stream) { return device::record_event(events_.front(), stream); }
  Status begin(int32_t, void*) override { return ok(); }
  Status end(int32_t step, void* stream) override {
    return device::record_event(events_[static_cast<std::size_t>(step) + 1], stream);
  }
  // Another event after the last step: what lies between the two is the cost of an event.
  Status end_run(void* stream) { return device::record_event(events_.back(), stream); }

  // The seconds of each step in the run that has ended, less the cost of an event.
  Status read(std::vector<double>* seconds) const;

 private:
  std::vector<void*> events_;
};

// Runs the model `repetitions` times and gives each step's median seconds. On a GPU all kernels and
// events are one graph, so that no time of the host is measured; kernels do not overlap.
Status profile(const ModelDescription& model, RunArguments arguments, int32_t repetitions,
               double* seconds);

}  // namespace ait
