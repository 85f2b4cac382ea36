// Bounds of indices that come with the data.
#pragma once

#include <atomic>
#include <cstdint>

#include "ait/axis.hpp"
#include "ait/launch.hpp"
#include "ait/status.hpp"

namespace ait {

/// Fails, naming the first offender, unless 0 <= `index_at(i)` < rows for all i < count.
template <typename IndexAt>
inline Status check_indices(const Launch& launch, std::int64_t count, std::int64_t rows,
                            const char* what, const IndexAt& index_at) {
  constexpr std::int64_t kGrain = 32768;
  std::atomic<std::int64_t> first_bad{count};
  parallel_for(launch, count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t index = index_at(i);
      if (index >= 0 && index < rows) continue;
      std::int64_t known = first_bad.load(std::memory_order_relaxed);
      while (i < known && !first_bad.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  const std::int64_t bad = first_bad.load();
  if (bad >= count) return ok();
  return error(AIT_RUNTIME_ERROR, "%s: index %lld (element %lld of the indices) is outside of [0, %lld)",
               what, static_cast<long long>(index_at(bad)), static_cast<long long>(bad),
               static_cast<long long>(rows));
}

}  // namespace ait
