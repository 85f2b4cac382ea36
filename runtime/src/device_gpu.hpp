// ait/device.hpp for CUDA and HIP, whose runtime APIs differ in their prefix only. Included once,
// by device_cuda.cpp or device_hip.cpp, after these are defined:
//   AIT_GPU(Name)   the prefixed name, for example cudaMalloc for AIT_GPU(Malloc)
//   AIT_GPU_KIND    ait_device of this file
//   AIT_GPU_LABEL   the vendor's name for messages
//   AIT_GPU_ALLOCATE_MAPPED(memory, bytes), AIT_GPU_FREE_MAPPED(memory)
//                   host memory at the same address for the device
//   AIT_GPU_RECORD_IN_GRAPH(event, stream), AIT_GPU_GRAPHS_TIME_EVENTS
//                   records an event each time that the graph runs; whether that exists

#include <cstring>

#include "ait/device.hpp"

namespace ait::device {
namespace {

using Stream = AIT_GPU(Stream_t);

Status check(AIT_GPU(Error_t) code, const char* what) {
  if (code == AIT_GPU(Success)) return ok();
  (void)AIT_GPU(GetLastError)();  // clears it, or the next call would report this one again
  return error(AIT_DEVICE_ERROR, AIT_GPU_LABEL " error while %s: %s (%d)", what,
               AIT_GPU(GetErrorString)(code), static_cast<int>(code));
}

// A blocking copy on the default stream does wait for streams of ours (they are created in the
// default, blocking mode) but a user's non-blocking stream needs the synchronisation.
Status copy(void* to, const void* from, std::size_t bytes, AIT_GPU(MemcpyKind) direction,
            const char* what) {
  if (bytes == 0) return ok();
  AIT_TRY(check(AIT_GPU(Memcpy)(to, from, bytes, direction), what));
  return check(AIT_GPU(StreamSynchronize)(nullptr), what);
}

}  // namespace

ait_device kind() noexcept { return AIT_GPU_KIND; }

std::size_t alignment() noexcept { return 256; }

Status current(int32_t* index) {
  int device = 0;
  AIT_TRY(check(AIT_GPU(GetDevice)(&device), "asking for the current device"));
  *index = device;
  return ok();
}

Status activate(int32_t index) {
  return check(AIT_GPU(SetDevice)(index), "selecting the device");
}

Status allocate(std::size_t bytes, void** memory) {
  *memory = nullptr;
  const AIT_GPU(Error_t) code = AIT_GPU(Malloc)(memory, bytes == 0 ? 1 : bytes);
  if (code != AIT_GPU(ErrorMemoryAllocation)) return check(code, "allocating device memory");
  (void)AIT_GPU(GetLastError)();
  return error(AIT_OUT_OF_MEMORY, "cannot allocate %zu bytes of " AIT_GPU_LABEL " device memory",
               bytes);
}

void release(void* memory) noexcept {
  if (memory != nullptr) (void)AIT_GPU(Free)(memory);
}

Status allocate_mapped(std::size_t bytes, void** memory) {
  *memory = nullptr;
  AIT_TRY(check(AIT_GPU_ALLOCATE_MAPPED(memory, bytes), "allocating host memory for reports"));
  std::memset(*memory, 0, bytes);
  return ok();
}

void release_mapped(void* memory) noexcept {
  if (memory != nullptr) (void)AIT_GPU_FREE_MAPPED(memory);
}

Status copy_from_host(void* device, const void* host, std::size_t bytes) {
  return copy(device, host, bytes, AIT_GPU(MemcpyHostToDevice), "copying to the device");
}

Status copy_to_host(void* host, const void* device, std::size_t bytes) {
  return copy(host, device, bytes, AIT_GPU(MemcpyDeviceToHost), "copying from the device");
}

Status copy_on_device(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes, AIT_GPU(MemcpyDeviceToDevice), "copying on the device");
}

Status copy_on_stream(void* to, const void* from, std::size_t bytes, void* stream) {
  if (bytes == 0) return ok();
  return check(AIT_GPU(MemcpyAsync)(to, from, bytes, AIT_GPU(MemcpyDeviceToDevice),
                                    static_cast<Stream>(stream)),
               "copying on the device");
}

Status create_stream(void** stream) {
  Stream created = nullptr;
  AIT_TRY(check(AIT_GPU(StreamCreate)(&created), "creating a stream"));
  *stream = created;
  return ok();
}

void destroy_stream(void* stream) noexcept {
  if (stream != nullptr) (void)AIT_GPU(StreamDestroy)(static_cast<Stream>(stream));
}

Status synchronize(void* stream) {
  return check(AIT_GPU(StreamSynchronize)(static_cast<Stream>(stream)), "running the model");
}

Status create_capture_stream(void** stream) {
  Stream created = nullptr;
  AIT_TRY(check(AIT_GPU(StreamCreateWithFlags)(&created, AIT_GPU(StreamNonBlocking)),
                "creating a stream to capture"));
  *stream = created;
  return ok();
}

bool is_capturing(void* stream) noexcept {
  AIT_GPU(StreamCaptureStatus) status{};
  // The default stream cannot be asked, or captured, while another is being captured.
  if (AIT_GPU(StreamIsCapturing)(static_cast<Stream>(stream), &status) != AIT_GPU(Success)) {
    (void)AIT_GPU(GetLastError)();
    return false;
  }
  return status != AIT_GPU(StreamCaptureStatusNone);
}

// Relaxed: what other threads, or the loading of a kernel's code, do meanwhile is no error.
Status begin_capture(void* stream) {
  return check(AIT_GPU(StreamBeginCapture)(static_cast<Stream>(stream),
                                           AIT_GPU(StreamCaptureModeRelaxed)),
               "capturing a graph");
}

Status end_capture(void* stream, void** graph) {
  AIT_GPU(Graph_t) recorded = nullptr;
  AIT_TRY(check(AIT_GPU(StreamEndCapture)(static_cast<Stream>(stream), &recorded),
                "capturing a graph"));
  AIT_GPU(GraphExec_t) ready = nullptr;
  Status status = check(AIT_GPU(GraphInstantiateWithFlags)(&ready, recorded, 0), "making a graph");
  (void)AIT_GPU(GraphDestroy)(recorded);
  *graph = ready;
  return status;
}

Status launch_graph(void* graph, void* stream) {
  return check(
      AIT_GPU(GraphLaunch)(static_cast<AIT_GPU(GraphExec_t)>(graph), static_cast<Stream>(stream)),
      "launching a graph");
}

void destroy_graph(void* graph) noexcept {
  if (graph != nullptr) (void)AIT_GPU(GraphExecDestroy)(static_cast<AIT_GPU(GraphExec_t)>(graph));
}

Status create_event(void** event) {
  AIT_GPU(Event_t) created = nullptr;
  AIT_TRY(check(AIT_GPU(EventCreate)(&created), "creating an event"));
  *event = created;
  return ok();
}

void destroy_event(void* event) noexcept {
  if (event != nullptr) (void)AIT_GPU(EventDestroy)(static_cast<AIT_GPU(Event_t)>(event));
}

Status record_event(void* given, void* stream_given) {
  const auto event = static_cast<AIT_GPU(Event_t)>(given);
  const auto stream = static_cast<Stream>(stream_given);
  return check(is_capturing(stream) ? AIT_GPU_RECORD_IN_GRAPH(event, stream)
                                    : AIT_GPU(EventRecord)(event, stream),
               "recording an event");
}

Status seconds_between(void* first, void* second, double* seconds) {
  float milliseconds = 0;
  AIT_TRY(check(AIT_GPU(EventElapsedTime)(&milliseconds, static_cast<AIT_GPU(Event_t)>(first),
                                          static_cast<AIT_GPU(Event_t)>(second)),
                "reading an event"));
  *seconds = milliseconds * 1e-3;
  return ok();
}

bool graphs_time_events() noexcept { return AIT_GPU_GRAPHS_TIME_EVENTS; }

Status synchronize_all() { return check(AIT_GPU(DeviceSynchronize)(), "running the model"); }

}  // namespace ait::device
