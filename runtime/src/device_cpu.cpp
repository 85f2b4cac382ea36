// Host memory; there are no streams to speak of.
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "ait/device.hpp"

namespace ait::device {

ait_device kind() noexcept { return AIT_CPU; }

std::size_t alignment() noexcept { return 64; }

// What the kernels were compiled for: the build lists it as AIT_FEATURE("avx2") AIT_FEATURE("fma").
// The first of it that this machine lacks, or null.
static const char* missing_feature() noexcept {
#if defined(AIT_HOST_FEATURES)
#define AIT_FEATURE(name) \
  if (!__builtin_cpu_supports(name)) return name;
  __builtin_cpu_init();
  AIT_HOST_FEATURES
#undef AIT_FEATURE
#endif
  return nullptr;
}

Status current(int32_t* index) {
  *index = 0;
  const char* missing = missing_feature();
  if (missing == nullptr) return ok();
  return error(AIT_DEVICE_ERROR,
               "this machine's processor lacks %s, which the model was compiled for: compile it "
               "for an older instruction set, such as --target cpu:x86-64",
               missing);
}

Status activate(int32_t index) {
  if (index == 0) return ok();
  return error(AIT_INVALID_ARGUMENT, "device_index: a cpu model has no device %d", index);
}

Status allocate(std::size_t bytes, void** memory) {
  *memory = nullptr;
  if (posix_memalign(memory, alignment(), bytes == 0 ? 1 : bytes) == 0) return ok();
  return error(AIT_OUT_OF_MEMORY, "cannot allocate %zu bytes of host memory", bytes);
}

void release(void* memory) noexcept { std::free(memory); }

Status allocate_mapped(std::size_t bytes, void** memory) {
  AIT_TRY(allocate(bytes, memory));
  std::memset(*memory, 0, bytes);
  return ok();
}

void release_mapped(void* memory) noexcept { release(memory); }

static Status copy(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) std::memcpy(to, from, bytes);
  return ok();
}

Status copy_from_host(void* device, const void* host, std::size_t bytes) {
  return copy(device, host, bytes);
}

Status copy_to_host(void* host, const void* device, std::size_t bytes) {
  return copy(host, device, bytes);
}

Status copy_on_device(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes);
}

Status copy_on_stream(void* to, const void* from, std::size_t bytes, void*) {
  return copy(to, from, bytes);
}

Status create_stream(void** stream) {
  *stream = nullptr;
  return ok();
}

void destroy_stream(void*) noexcept {}

Status synchronize(void*) { return ok(); }

Status synchronize_all() { return ok(); }

// Kernels are plain calls: there is nothing to gain from graphs.
static Status no_graphs() { return error(AIT_INTERNAL_ERROR, "a cpu model has no graphs"); }

Status create_capture_stream(void**) { return no_graphs(); }
bool is_capturing(void*) noexcept { return false; }
Status begin_capture(void*) { return no_graphs(); }
Status end_capture(void*, void**) { return no_graphs(); }
Status launch_graph(void*, void*) { return no_graphs(); }
void destroy_graph(void*) noexcept {}

using Time = std::chrono::steady_clock::time_point;

Status create_event(void** event) {
  *event = new Time();
  return ok();
}

void destroy_event(void* event) noexcept { delete static_cast<Time*>(event); }

Status record_event(void* event, void*) {
  *static_cast<Time*>(event) = std::chrono::steady_clock::now();
  return ok();
}

Status seconds_between(void* first, void* second, double* seconds) {
  const auto passed = *static_cast<Time*>(second) - *static_cast<Time*>(first);
  *seconds = std::chrono::duration<double>(passed).count();
  return ok();
}

bool graphs_time_events() noexcept { return false; }

void begin_range(const char*) noexcept {}
void end_range() noexcept {}

}  // namespace ait::device
