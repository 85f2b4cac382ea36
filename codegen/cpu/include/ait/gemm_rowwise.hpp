// A matrix product and a softmax or norm over each row of it, a block of rows at a time.
#pragma once

#include "ait/row_product.hpp"
#include "ait/rowwise.hpp"

namespace ait {

/// For each row of each batch, with sums[n] = sum over k of a[b, m, k] * b[b, k, n]:
/// `prologue(b, m, sums, v)` fills v[0, n), `kind` makes y of it, `epilogue(b, m, sums, v, y)`
/// stores the results. `a` and `b` are those of `gemm`; an empty k gives zeros.
template <typename A, typename B, typename Kind, typename Prologue, typename Epilogue>
inline void gemm_rowwise(const Launch& launch, const GemmShape& shape, const A& a, const B& b,
                         const Kind& kind, const Prologue& prologue, const Epilogue& epilogue) {
  if (shape.batch <= 0 || shape.m <= 0 || shape.n <= 0) return;
  const RowProduct<B> product(launch, shape, b, 0);
  const std::int64_t step = product.step();
  const RowBlocks blocks(shape.batch, shape.m, step, product.unit(), thread_count(launch));
  const bool packs_a = !gemm_detail::rows_in_place(a, shape);
  parallel_for(launch, blocks.tasks(), 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    const auto product_parts = product.reserve(scratch, blocks.rows());
    const auto sum_part = scratch.reserve<float>(blocks.rows() * step);
    const auto a_part = scratch.reserve<float>(packs_a ? blocks.rows() * shape.k : 0);
    const auto row_part = scratch.reserve<const float*>(blocks.rows());
    const auto v_part = scratch.reserve<float>(shape.n);
    const auto y_part = scratch.reserve<float>(shape.n);
    scratch.allocate();
    const auto buffers = product.get(scratch, product_parts);
    float* sums = scratch.get(sum_part);
    const float** rows = scratch.get(row_part);
    float* v = scratch.get(v_part);
    float* y = scratch.get(y_part);
    for (std::int64_t task = begin; task < end; ++task) {
      const RowBlocks::Block block = blocks[task];
      gemm_detail::whole_rows(a, shape, block.batch, block.m0, block.rows, scratch.get(a_part),
                              rows);
      product.multiply(buffers, block.batch, rows, block.rows, sums);
      for (std::int64_t i = 0; i < block.rows; ++i) {
        const float* row = sums + i * step;
        prologue(block.batch, block.m0 + i, row, v);
        kind(v, shape.n, y);
        epilogue(block.batch, block.m0 + i, row, static_cast<const float*>(v),
                 static_cast<const float*>(y));
      }
    }
  });
}

}  // namespace ait
