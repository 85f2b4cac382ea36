// Persistent workers of one context.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "ait/launch.hpp"

namespace ait {

// The calling thread always takes part, and never waits for a worker that has not begun: a task is
// done when its ranges are, however many workers woke up in time. run() is for one caller at a
// time.
class ThreadPool {
 public:
  explicit ThreadPool(int thread_count);  // the caller's thread included
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return static_cast<int>(workers_.size()) + 1; }
  void run(int64_t count, int64_t grain, detail::RangeFunction function, void* closure) noexcept;

 private:
  struct Task {
    detail::RangeFunction function;
    void* closure;
    int64_t count;
    int64_t chunk;
  };

  void work() noexcept;
  uint64_t wait_for_task(uint64_t last_generation) noexcept;
  void drain() noexcept;
  void publish() noexcept;
  void close() noexcept;

  // One word says whether a task may be joined and how many workers are inside it; see the .cpp.
  alignas(64) std::atomic<uint64_t> gate_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  Task task_{};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

// Threads to use for a request of `requested` (0: one a core that this process may use).
int resolve_thread_count(int32_t requested) noexcept;

}  // namespace ait
