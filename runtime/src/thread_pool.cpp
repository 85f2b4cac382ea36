#include "thread_pool.hpp"

#include <algorithm>
#include <system_error>

namespace ait {
namespace {

// The gate: bits 0-31 count the workers inside the task, bit 32 says whether it may be joined,
// bits 33-63 number the tasks. The task's fields change only while the gate is closed with nobody
// inside, so a worker that wakes up late can neither see half a task nor join a finished one.
constexpr uint64_t kOpen = uint64_t{1} << 32;
constexpr uint64_t kInsideMask = kOpen - 1;
constexpr uint64_t generation_of(uint64_t gate) { return gate >> 33; }

// About 20-50 us: longer than the gap between two kernels, shorter than a scheduler's time slice.
constexpr int kSpins = 1000;
constexpr int kMaxThreads = 256;

// Ranges a thread gets on average: some for balance, few for overhead.
constexpr int64_t kRangesPerThread = 4;

thread_local bool inside_pool = false;

void pause_briefly() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

bool joinable(uint64_t gate, uint64_t last_generation) noexcept {
  return (gate & kOpen) != 0 && generation_of(gate) != last_generation;
}

int64_t chunk_size(int64_t count, int64_t grain, int threads) noexcept {
  const int64_t ranges = threads * kRangesPerThread;
  const int64_t even = count / ranges + (count % ranges != 0);
  const int64_t grains = even / grain + (even % grain != 0);
  return grains * grain;
}

}  // namespace

ThreadPool::ThreadPool(int thread_count) {
  workers_.reserve(static_cast<std::size_t>(std::max(thread_count - 1, 0)));
  try {
    for (int i = 1; i < thread_count; ++i) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    // The process may have no more threads: the ones there are suffice.
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_.store(true);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t count, int64_t grain, detail::RangeFunction function,
                     void* closure) noexcept {
  grain = std::max<int64_t>(grain, 1);
  if (inside_pool || workers_.empty() || count <= grain) {
    function(closure, 0, count);
    return;
  }
  task_ = Task{function, closure, count, chunk_size(count, grain, size())};
  next_.store(0, std::memory_order_relaxed);
  publish();
  inside_pool = true;
  drain();
  inside_pool = false;
  close();
}

// Sequentially consistent on purpose: a worker first counts itself as a sleeper and then looks at
// the gate, we first open the gate and then look for sleepers, so one of the two sees the other.
void ThreadPool::publish() noexcept {
  const uint64_t generation = generation_of(gate_.load(std::memory_order_relaxed)) + 1;
  gate_.store(generation << 33 | kOpen);
  if (sleepers_.load() == 0) return;
  { std::lock_guard<std::mutex> lock(mutex_); }
  wake_.notify_all();
}

void ThreadPool::drain() noexcept {
  const Task task = task_;
  for (;;) {
    const int64_t begin = next_.fetch_add(task.chunk, std::memory_order_relaxed);
    if (begin >= task.count) return;
    task.function(task.closure, begin, begin + std::min(task.chunk, task.count - begin));
  }
}

void ThreadPool::close() noexcept {
  gate_.fetch_and(~kOpen, std::memory_order_relaxed);
  for (int spins = 0; (gate_.load(std::memory_order_acquire) & kInsideMask) != 0; ++spins) {
    if (spins < kSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::work() noexcept {
  inside_pool = true;
  uint64_t last_generation = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    uint64_t gate = wait_for_task(last_generation);
    if (!joinable(gate, last_generation)) continue;
    if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire)) continue;
    last_generation = generation_of(gate);
    drain();
    gate_.fetch_sub(1, std::memory_order_release);
  }
}

// Returns a gate that may be joinable (it can close at any time), or any if the pool is stopping.
uint64_t ThreadPool::wait_for_task(uint64_t last_generation) noexcept {
  for (int spins = 0; spins < kSpins; ++spins) {
    const uint64_t gate = gate_.load(std::memory_order_acquire);
    if (joinable(gate, last_generation)) return gate;
    pause_briefly();
  }
  sleepers_.fetch_add(1);
  uint64_t gate = 0;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, [&] {
      gate = gate_.load();
      return stopping_.load() || joinable(gate, last_generation);
    });
  }
  sleepers_.fetch_sub(1);
  return gate;
}

int resolve_thread_count(int32_t requested) noexcept {
  const int cores = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));
  return std::min(requested == 0 ? cores : static_cast<int>(requested), kMaxThreads);
}

int thread_count(const Launch& launch) noexcept {
  return launch.pool == nullptr ? 1 : launch.pool->size();
}

void detail::run_on_pool(ThreadPool& pool, int64_t count, int64_t grain, RangeFunction function,
                         void* closure) noexcept {
  pool.run(count, grain, function, closure);
}

}  // namespace ait
