// Softmax and norms over rows: each row is computed in a scratch buffer, between a generated
// prologue, which fills it, and a generated epilogue, which stores the results.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/launch.hpp"
#include "ait/row.hpp"
#include "ait/scratch.hpp"

namespace ait {

namespace rowwise_detail {

/// Least elements worth a thread.
inline constexpr std::int64_t kGrain = 8192;

}  // namespace rowwise_detail

/// y of a row v; each has `void operator()(const float* v, std::int64_t count, float* y) const`.
struct Softmax {
  void operator()(const float* v, std::int64_t count, float* y) const {
    row::exp_shifted(v, count, row::max(v, count), y);
    row::scale(y, count, 1.0f / row::sum(y, count));
  }
};

struct LogSoftmax {
  void operator()(const float* v, std::int64_t count, float* y) const {
    const float largest = row::max(v, count);
    row::exp_shifted(v, count, largest, y);
    const float shift = log(row::sum(y, count));
    for (std::int64_t i = 0; i < count; ++i) y[i] = (v[i] - largest) - shift;
  }
};

struct LayerNorm {
  float eps;

  void operator()(const float* v, std::int64_t count, float* y) const {
    const float size = static_cast<float>(count);
    const float mean = row::sum(v, count) / size;
    const float factor = rsqrt(row::sum_of_squares(v, count, mean) / size + eps);
    for (std::int64_t i = 0; i < count; ++i) y[i] = (v[i] - mean) * factor;
  }
};

struct RmsNorm {
  float eps;

  void operator()(const float* v, std::int64_t count, float* y) const {
    const float square = row::sum_of_squares(v, count, 0.0f);
    const float factor = rsqrt(square / static_cast<float>(count) + eps);
    for (std::int64_t i = 0; i < count; ++i) y[i] = v[i] * factor;
  }
};

/// For each row r: `prologue(r, v)` fills v[0, cols), `kind` makes y of it, `epilogue(r, v, y)`
/// stores the results.
template <typename Kind, typename Prologue, typename Epilogue>
inline void rowwise(const Launch& launch, std::int64_t rows, std::int64_t cols, const Kind& kind,
                    const Prologue& prologue, const Epilogue& epilogue) {
  if (rows <= 0 || cols <= 0) return;
  const std::int64_t grain = std::max<std::int64_t>(1, rowwise_detail::kGrain / cols);
  parallel_for(launch, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    const auto v_part = scratch.reserve<float>(cols);
    const auto y_part = scratch.reserve<float>(cols);
    scratch.allocate();
    float* v = scratch.get(v_part);
    float* y = scratch.get(y_part);
    for (std::int64_t r = begin; r < end; ++r) {
      prologue(r, v);
      kind(v, cols, y);
      epilogue(r, static_cast<const float*>(v), static_cast<const float*>(y));
    }
  });
}

}  // namespace ait
