#include "profile.hpp"

#include <algorithm>

namespace ait {
namespace {

Status observed_run(const ModelDescription& model, RunArguments arguments, StepTimer* timer) {
  arguments.observer = timer;
  AIT_TRY(timer->begin_run(arguments.launch.stream));
  AIT_TRY(model.run(arguments));
  return timer->end_run(arguments.launch.stream);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The same run again and again.
class Repeated {
 public:
  Repeated(const ModelDescription& model, const RunArguments& arguments)
      : model_(model), arguments_(arguments) {}
  ~Repeated() {
    device::destroy_graph(graph_);
    device::destroy_stream(capture_stream_);
  }
  Repeated(const Repeated&) = delete;
  Repeated& operator=(const Repeated&) = delete;

  Status prepare(StepTimer* timer) {
    timer_ = timer;
    if (!device::graphs_time_events()) return ok();
    AIT_TRY(device::create_capture_stream(&capture_stream_));
    RunArguments captured = arguments_;
    captured.launch.stream = capture_stream_;
    AIT_TRY(device::begin_capture(capture_stream_));
    Status status = observed_run(model_, captured, timer);
    Status ended = device::end_capture(capture_stream_, &graph_);
    AIT_TRY(std::move(status));
    return ended;
  }

  Status run() {
    void* const stream = arguments_.launch.stream;
    if (graph_ == nullptr) {
      AIT_TRY(observed_run(model_, arguments_, timer_));
    } else {
      AIT_TRY(device::launch_graph(graph_, stream));
    }
    return device::synchronize(stream);
  }

 private:
  const ModelDescription& model_;
  const RunArguments& arguments_;
  StepTimer* timer_ = nullptr;
  void* capture_stream_ = nullptr;
  void* graph_ = nullptr;
};

}  // namespace

StepTimer::~StepTimer() {
  for (void* event : events_) device::destroy_event(event);
}

Status StepTimer::open(int32_t steps) {
  for (int32_t i = 0; i < steps + 2; ++i) {
    void* event = nullptr;
    AIT_TRY(device::create_event(&event));
    events_.push_back(event);
  }
  return ok();
}

Status StepTimer::read(std::vector<double>* seconds) const {
  std::vector<double> between(events_.size() - 1);
  for (std::size_t i = 0; i < between.size(); ++i) {
    AIT_TRY(device::seconds_between(events_[i], events_[i + 1], &between[i]));
  }
  const double event = between.back();
  between.pop_back();
  for (double& value : between) value = std::max(0.0, value - event);
  *seconds = std::move(between);
  return ok();
}

Status profile(const ModelDescription& model, RunArguments arguments, int32_t repetitions,
               double* seconds) {
  // The first run loads the kernels' code, which no graph should have to.
  AIT_TRY(model.run(arguments));
  AIT_TRY(device::synchronize(arguments.launch.stream));
  StepTimer timer;
  AIT_TRY(timer.open(model.step_count));
  Repeated repeated(model, arguments);
  AIT_TRY(repeated.prepare(&timer));
  std::vector<std::vector<double>> of_step(static_cast<std::size_t>(model.step_count));
  std::vector<double> of_run;
  AIT_TRY(repeated.run());  // warms up
  for (int32_t i = 0; i < repetitions; ++i) {
    AIT_TRY(repeated.run());
    AIT_TRY(timer.read(&of_run));
    for (std::size_t step = 0; step < of_run.size(); ++step) of_step[step].push_back(of_run[step]);
  }
  for (std::size_t step = 0; step < of_step.size(); ++step) {
    seconds[step] = median(std::move(of_step[step]));
  }
  return ok();
}

}  // namespace ait
