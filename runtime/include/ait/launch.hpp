// Where a kernel runs: the threads of a context (CPU) or its stream (GPU).
#pragma once

#include <cstdint>
#include <type_traits>

namespace ait {

class ThreadPool;

// What the first kernel to find its input data wrong says of it. On a GPU the kernel function has
// long returned by then: the record lies in host memory that kernels can write, and is read when
// the stream has been synchronized.
struct DeviceReport {
  int32_t is_raised;  // claimed by the one thread that fills in the rest
  int32_t reserved;
  int64_t index;     // an index from the data,
  int64_t position;  // its place among the indices,
  int64_t extent;    // and the number of things that it chooses from
};

struct Launch {
  ThreadPool* pool = nullptr;      // CPU; null: run in the calling thread alone
  void* stream = nullptr;          // GPU: cudaStream_t or hipStream_t
  DeviceReport* report = nullptr;  // GPU; null: nobody wants to know
  bool backwards = false;          // GPU: a kernel may begin with the last rows
};

namespace detail {

using RangeFunction = void (*)(void* closure, int64_t begin, int64_t end);

void run_on_pool(ThreadPool& pool, int64_t count, int64_t grain, RangeFunction function,
                 void* closure) noexcept;

}  // namespace detail

// Calls function(begin, end) for ranges that cover [0, count) exactly once, on all threads of the
// launch. Every `begin` is a multiple of `grain`, the least work worth a thread. `function` must
// not throw (that terminates); a parallel_for inside another runs in its own thread.
template <class Function>
void parallel_for(const Launch& launch, int64_t count, int64_t grain,
                  Function&& function) noexcept {
  if (count <= 0) return;
  if (launch.pool == nullptr || count <= grain) {
    function(int64_t{0}, count);
    return;
  }
  using Body = std::remove_reference_t<Function>;
  detail::run_on_pool(
      *launch.pool, count, grain,
      [](void* closure, int64_t begin, int64_t end) {
        (*static_cast<Body*>(closure))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&function)));
}

// Threads that a parallel_for of this launch uses, the caller's included.
int thread_count(const Launch& launch) noexcept;

}  // namespace ait
