// The warp's operations of codegen/cuda/include/ait/cuda/warp.hpp on the host, executed literally: lane
// by lane, with the device's placement of elements. Copies to shared memory are only made when they
// are waited for, so that a kernel that reads too early reads old bytes.
#pragma once

#include <cmath>
#include <deque>
#include <type_traits>

#include "ait/gpu/access.hpp"
#include "ait/gpu/shared_memory.hpp"

namespace ait::cuda {

using gpu::dynamic_shared;

struct Copy {
  void* to;
  const void* from;
  int bytes;
  bool inside;
};
struct Copies {
  std::deque<std::vector<Copy>> groups;
  std::vector<Copy> open;
};
inline Copies& copies() {
  static std::vector<Copies> all(8192);
  return all[emulation::self()];
}

template <int Bytes>
void copy_async(void* to, const void* from, bool inside) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  if (reinterpret_cast<std::uintptr_t>(to) % Bytes != 0 ||
      (inside && reinterpret_cast<std::uintptr_t>(from) % Bytes != 0)) {
    std::fprintf(stderr, "a misaligned copy of %d bytes\n", Bytes);
    std::abort();
  }
  copies().open.push_back({to, from, Bytes, inside});
}

inline void copy_async_line(void* to, const void* from) { copy_async<16>(to, from, true); }

inline void commit_copies() {
  copies().groups.push_back(std::move(copies().open));
  copies().open.clear();
}

template <int Pending>
void wait_for_copies() {
  auto& groups = copies().groups;
  for (; groups.size() > Pending; groups.pop_front()) {
    for (const Copy& copy : groups.front()) {
      copy.inside ? (void)std::memcpy(copy.to, copy.from, copy.bytes)
                  : (void)std::memset(copy.to, 0, copy.bytes);
    }
  }
}

inline void prefetch_cache(const void*) {}

// What each lane of a warp gives to the others.
template <class Value>
struct Exchange {
  Value (*values)[32];
  explicit Exchange(const Value& mine) {
    static Value all[256][32];
    values = &all[emulation::self() / 32];
    (*values)[threadIdx.x % 32] = mine;
    __syncwarp();
  }
  const Value& operator[](int lane) const { return (*values)[lane]; }
  ~Exchange() { __syncwarp(); }
};

inline void load_matrices_as(std::uint32_t (&to)[4], const void* row, bool transposed) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) {
    std::fprintf(stderr, "a misaligned row of a matrix\n");
    std::abort();
  }
  const Exchange<const std::uint16_t*> rows(static_cast<const std::uint16_t*>(row));
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4 * 2;
  for (int matrix = 0; matrix < 4; ++matrix) {
    const auto at = [&](int i, int j) -> std::uint32_t {
      return transposed ? rows[matrix * 8 + j][i] : rows[matrix * 8 + i][j];
    };
    to[matrix] = at(g, t) | at(g, t + 1) << 16;
  }
}

inline void load_matrices(std::uint32_t (&to)[4], const void* row) {
  load_matrices_as(to, row, false);
}
inline void load_transposed(std::uint32_t (&to)[4], const void* row) {
  load_matrices_as(to, row, true);
}

struct Factors {
  std::uint32_t a[4], b[2];
};

template <class Element>
void multiply(float (&sums)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const Exchange<Factors> factors(Factors{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const auto number = [](std::uint32_t pair, int k) {
    return convert<float>(Element{static_cast<std::uint16_t>(pair >> k % 2 * 16)});
  };
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; ++i) {
    const int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const int half = k / 8, owner = k % 8 / 2;
      const auto& left = factors[m % 8 * 4 + owner].a[half * 2 + m / 8];
      const auto& right = factors[n * 4 + owner].b[half];
      sums[i] += number(left, k) * number(right, k);
    }
  }
}

inline std::uint32_t tf32_of(float x) {
  const std::uint32_t bits = __float_as_uint(x);
  // Numbers that are not finite stay what they are; ties go away from zero.
  return std::isfinite(x) ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline void multiply_tf32(float (&sums)[4], const std::uint32_t (&a)[4],
                          const std::uint32_t (&b)[2], const float (&more)[4]) {
  const Exchange<Factors> factors(Factors{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
  const auto number = [](std::uint32_t bits) { return __uint_as_float(bits & ~0x1fffu); };
  const int lane = threadIdx.x % 32;
  for (int i = 0; i < 4; ++i) {
    const int m = lane / 4 + i / 2 * 8, n = lane % 4 * 2 + i % 2;
    float sum = more[i];
    for (int k = 0; k < 8; ++k) {
      const float left = number(factors[m % 8 * 4 + k % 4].a[k / 4 * 2 + m / 8]);
      sum += left * number(factors[n * 4 + k % 4].b[k / 4]);
    }
    sums[i] = sum;
  }
}

template <class Element>
std::uint32_t pair_of(float low, float high) {
  return convert<Element>(low).bits | std::uint32_t{convert<Element>(high).bits} << 16;
}

inline float other_lane(float value, int mask) {
  const Exchange<float> values(value);
  return values[threadIdx.x % 32 ^ mask];
}

inline std::uint32_t word_of_lane(std::uint32_t word, int lane) {
  const Exchange<std::uint32_t> words(word);
  return words[lane];
}

inline float fast_exp2(float x) { return std::exp2(x); }

}  // namespace ait::cuda
