// Memory that a kernel needs only while it runs: one block a thread, grown on demand and reused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace ait {

inline constexpr std::size_t kScratchAlignment = 64;

namespace detail {

class ScratchBlock {
 public:
  ScratchBlock() = default;
  ScratchBlock(const ScratchBlock&) = delete;
  ScratchBlock& operator=(const ScratchBlock&) = delete;
  ~ScratchBlock() { std::free(memory_); }

  void* at_least(std::size_t bytes) {
    if (bytes > size_) grow(bytes);
    return memory_;
  }

 private:
  void grow(std::size_t bytes) {
    std::free(memory_);
    size_ = (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
    memory_ = std::aligned_alloc(kScratchAlignment, size_);
    if (memory_ == nullptr) {
      // Kernels run inside parallel_for, which has no way to report a failure.
      std::fprintf(stderr, "ait: no memory for %zu bytes of kernel scratch\n", size_);
      std::abort();
    }
  }

  void* memory_ = nullptr;
  std::size_t size_ = 0;
};

inline ScratchBlock& scratch_block() {
  static thread_local ScratchBlock block;
  return block;
}

}  // namespace detail

/// Parts of the calling thread's scratch block. Ask for all sizes first, then take the parts:
///
///   Scratch scratch;
///   const auto rows = scratch.reserve<float>(n);
///   scratch.allocate();
///   float* row = scratch.get(rows);
///
/// One Scratch a thread at a time: the next one reuses the memory.
class Scratch {
 public:
  template <typename T>
  struct Part {
    std::size_t offset;
  };

  template <typename T>
  Part<T> reserve(std::int64_t count) {
    const std::size_t offset = bytes_;
    const std::size_t bytes = static_cast<std::size_t>(count > 0 ? count : 0) * sizeof(T);
    bytes_ += (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
    return {offset};
  }

  void allocate() {
    base_ = static_cast<char*>(detail::scratch_block().at_least(bytes_ > 0 ? bytes_ : 1));
  }

  template <typename T>
  T* get(Part<T> part) const {
    return reinterpret_cast<T*>(base_ + part.offset);
  }

 private:
  char* base_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace ait
