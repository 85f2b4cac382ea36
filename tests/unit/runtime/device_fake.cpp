// A GPU made of host memory: it knows what it has allocated, refuses a host pointer where a device
// pointer belongs, and so shows without a GPU that host and device memory are kept apart. A stream that
// is being captured records what the model does, and its graphs do it again.
#include "device_fake.hpp"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace ait::device {
namespace {

constexpr std::size_t kAlignment = 256;

std::mutex mutex;
std::map<uintptr_t, std::size_t> allocations;

using Work = std::function<Status()>;
using Graph = std::vector<Work>;
std::map<void*, Graph> captures;  // by the stream
int captured = 0;
int replayed = 0;
double now = 0;
std::string ranges;

bool is_device(const void* pointer, std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return false;
  --next;
  return address + bytes <= next->first + next->second;
}

Status copy(void* to, const void* from, std::size_t bytes, bool to_device, bool from_device) {
  if (bytes == 0) return ok();
  if (is_device(to, bytes) != to_device || is_device(from, bytes) != from_device) {
    return error(AIT_DEVICE_ERROR, "FAKE error: a copy between the wrong kinds of memory");
  }
  std::memcpy(to, from, bytes);
  return ok();
}

}  // namespace

ait_device kind() noexcept { return AIT_CUDA; }
std::size_t alignment() noexcept { return kAlignment; }

Status current(int32_t* index) {
  *index = 0;
  return ok();
}

Status activate(int32_t index) {
  return index == 0 ? ok() : error(AIT_DEVICE_ERROR, "FAKE error: no device %d", index);
}

Status allocate(std::size_t bytes, void** memory) {
  if (posix_memalign(memory, kAlignment, bytes + 1) != 0) return error(AIT_OUT_OF_MEMORY, "full");
  std::lock_guard<std::mutex> lock(mutex);
  allocations[reinterpret_cast<uintptr_t>(*memory)] = bytes;
  return ok();
}

void release(void* memory) noexcept {
  std::lock_guard<std::mutex> lock(mutex);
  allocations.erase(reinterpret_cast<uintptr_t>(memory));
  std::free(memory);
}

Status allocate_mapped(std::size_t bytes, void** memory) {
  *memory = std::calloc(1, bytes);
  return ok();
}

void release_mapped(void* memory) noexcept { std::free(memory); }

Status copy_from_host(void* device, const void* host, std::size_t bytes) {
  return copy(device, host, bytes, true, false);
}

Status copy_to_host(void* host, const void* device, std::size_t bytes) {
  return copy(host, device, bytes, false, true);
}

Status copy_on_device(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes, true, true);
}

Status create_stream(void** stream) {
  *stream = std::malloc(1);
  return ok();
}

void destroy_stream(void* stream) noexcept { std::free(stream); }
Status synchronize(void*) { return ok(); }
Status synchronize_all() { return ok(); }

Status copy_on_stream(void* to, const void* from, std::size_t bytes, void*) {
  return copy_on_device(to, from, bytes);
}

Status create_capture_stream(void** stream) { return create_stream(stream); }

bool is_capturing(void* stream) noexcept {
  std::lock_guard<std::mutex> lock(mutex);
  return captures.count(stream) != 0;
}

Status begin_capture(void* stream) {
  std::lock_guard<std::mutex> lock(mutex);
  captures[stream] = {};
  return ok();
}

Status end_capture(void* stream, void** graph) {
  std::lock_guard<std::mutex> lock(mutex);
  *graph = new Graph(std::move(captures.at(stream)));
  captures.erase(stream);
  ++captured;
  return ok();
}

Status launch_graph(void* graph, void*) {
  ++replayed;
  for (const Work& work : *static_cast<Graph*>(graph)) AIT_TRY(work());
  return ok();
}

void destroy_graph(void* graph) noexcept { delete static_cast<Graph*>(graph); }

// Time passes by one second an event.
Status create_event(void** event) {
  *event = new double(0);
  return ok();
}

void destroy_event(void* event) noexcept { delete static_cast<double*>(event); }

Status record_event(void* event, void* stream) {
  return do_or_record(stream, [event]() -> Status {
    *static_cast<double*>(event) = ++now;
    return ok();
  });
}

Status seconds_between(void* first, void* second, double* seconds) {
  *seconds = *static_cast<double*>(second) - *static_cast<double*>(first);
  return ok();
}

bool graphs_time_events() noexcept { return true; }

void begin_range(const char* name) noexcept { ranges += std::string(name) + "("; }
void end_range() noexcept { ranges += ")"; }

bool is_device_memory(const void* pointer, std::size_t bytes) { return is_device(pointer, bytes); }

Status do_or_record(void* stream, Work work) {
  if (!is_capturing(stream)) return work();
  std::lock_guard<std::mutex> lock(mutex);
  captures[stream].push_back(std::move(work));
  return ok();
}

}  // namespace ait::device

// For tests: how many graphs were captured, and how many launched.
extern "C" AIT_API void ait_fake_graphs(int* captured, int* replayed) {
  *captured = ait::device::captured;
  *replayed = ait::device::replayed;
}

// The ranges that were begun and ended so far, as text.
extern "C" AIT_API const char* ait_fake_ranges(void) { return ait::device::ranges.c_str(); }

// Each kernel takes as long as the tests say.
namespace ait::device {
void pass_time(double seconds) { now += seconds; }
}  // namespace ait::device
