// Where a kernel runs: the threads of a context (CPU) or its stream (GPU).
#pragma once

#include <cstdint>
#include <type_traits>

namespace ait {

class ThreadPool;

struct Launch {
  ThreadPool* pool = nullptr;  // CPU; null: run in the calling thread alone
  void* stream = nullptr;      // GPU: cudaStream_t or hipStream_t
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
