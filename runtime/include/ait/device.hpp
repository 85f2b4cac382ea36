// Memory and streams of the one device a model is compiled for. src/device_<kind>.cpp implements
// it, and exactly one of them is linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "ait/status.hpp"

namespace ait::device {

ait_device kind() noexcept;

// Of allocate(), and asked of a workspace that the user gives.
std::size_t alignment() noexcept;

// The calling thread's current device; always 0 on the CPU.
Status current(int32_t* index);
Status activate(int32_t index);

Status allocate(std::size_t bytes, void** memory);
void release(void* memory) noexcept;  // null is fine; waits for work that uses it

// Zeroed host memory that kernels can write too. The host sees their writes once it has waited for
// them.
Status allocate_mapped(std::size_t bytes, void** memory);
void release_mapped(void* memory) noexcept;  // null is fine

// Complete, as seen by the host and by all streams, when they return.
Status copy_from_host(void* device, const void* host, std::size_t bytes);
Status copy_to_host(void* host, const void* device, std::size_t bytes);
Status copy_on_device(void* to, const void* from, std::size_t bytes);

Status copy_on_stream(void* to, const void* from, std::size_t bytes, void* stream);  // returns early

Status create_stream(void** stream);
void destroy_stream(void* stream) noexcept;
Status synchronize(void* stream);
Status synchronize_all();

// Work of a stream that is recorded instead of run, and then launched as a whole: GPUs only. A stream
// to record on must not be ordered by itself with the default stream.
Status create_capture_stream(void** stream);
bool is_capturing(void* stream) noexcept;
Status begin_capture(void* stream);
Status end_capture(void* stream, void** graph);  // no longer captures, also after an error
Status launch_graph(void* graph, void* stream);
void destroy_graph(void* graph) noexcept;  // null is fine; it must not be running

// Points in time on a stream.
Status create_event(void** event);
void destroy_event(void* event) noexcept;
Status record_event(void* event, void* stream);
// Between two events that were recorded by work that has ended.
Status seconds_between(void* first, void* second, double* seconds);
// Whether the events that were recorded into a graph are recorded anew with each launch.
bool graphs_time_events() noexcept;

// Names what is put on a stream from now on, for the vendor's profilers.
void begin_range(const char* name) noexcept;
void end_range() noexcept;

// Makes a device current for a scope and the caller's own again after it.
class Scope {
 public:
  explicit Scope(int32_t index) noexcept : status_(enter(index)) {}
  ~Scope() {
    if (previous_ >= 0) (void)activate(previous_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  Status take_status() noexcept { return std::move(status_); }

 private:
  Status enter(int32_t index) {
    int32_t before = 0;
    AIT_TRY(current(&before));
    if (before == index) return ok();
    AIT_TRY(activate(index));
    previous_ = before;
    return ok();
  }

  int32_t previous_ = -1;
  Status status_;
};

}  // namespace ait::device
