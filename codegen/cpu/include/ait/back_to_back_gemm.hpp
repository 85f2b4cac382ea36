// Two matrix products, the first of which computes the left factor of the second: a block of rows
// of it at a time, which is stored only if the kernel does so.
#pragma once

#include "ait/row_product.hpp"

namespace ait {

/// The dims of both products: a is [m, k], b [k, middle], c [middle, n], in each batch.
struct BackToBackShape {
  std::int64_t batch, m, n, k, middle;

  GemmShape first() const { return {batch, m, middle, k}; }
  GemmShape second() const { return {batch, m, n, middle}; }
};

/// For each row of each batch: `act(b, m, values)` changes the row of a * b in place, and
/// `epilogue(b, m, sums)` stores the results of sums = values * c. The factors are those of `gemm`; an
/// empty k or middle gives zeros.
template <typename A, typename B, typename C, typename Act, typename Epilogue>
inline void back_to_back_gemm(const Launch& launch, const BackToBackShape& shape, const A& a,
                              const B& b, const C& c, const Act& act, const Epilogue& epilogue) {
  // Without columns of the result there may still be a middle to store.
  if (shape.batch <= 0 || shape.m <= 0) return;
  const GemmShape first_shape = shape.first();
  const RowProduct<B> first(launch, first_shape, b, 0);
  const RowProduct<C> second(launch, shape.second(), c, 1);
  const std::int64_t unit = std::max(first.unit(), second.unit());
  const std::int64_t floats = first.step() + second.step();
  const RowBlocks blocks(shape.batch, shape.m, floats, unit, thread_count(launch));
  const bool packs_a = !gemm_detail::rows_in_place(a, first_shape);
  parallel_for(launch, blocks.tasks(), 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch;
    const auto first_parts = first.reserve(scratch, blocks.rows());
    const auto second_parts = second.reserve(scratch, blocks.rows());
    const auto middle_part = scratch.reserve<float>(blocks.rows() * first.step());
    const auto sum_part = scratch.reserve<float>(blocks.rows() * second.step());
    const auto a_part = scratch.reserve<float>(packs_a ? blocks.rows() * shape.k : 0);
    const auto row_part = scratch.reserve<const float*>(blocks.rows());
    scratch.allocate();
    const auto first_buffers = first.get(scratch, first_parts);
    const auto second_buffers = second.get(scratch, second_parts);
    float* middle = scratch.get(middle_part);
    float* sums = scratch.get(sum_part);
    const float** rows = scratch.get(row_part);
    for (std::int64_t task = begin; task < end; ++task) {
      const RowBlocks::Block block = blocks[task];
      gemm_detail::whole_rows(a, first_shape, block.batch, block.m0, block.rows,
                              scratch.get(a_part), rows);
      first.multiply(first_buffers, block.batch, rows, block.rows, middle);
      for (std::int64_t i = 0; i < block.rows; ++i) {
        rows[i] = middle + i * first.step();
        act(block.batch, block.m0 + i, middle + i * first.step());
      }
      second.multiply(second_buffers, block.batch, rows, block.rows, sums);
      for (std::int64_t i = 0; i < block.rows; ++i) {
        epilogue(block.batch, block.m0 + i, static_cast<const float*>(sums + i * second.step()));
      }
    }
  });
}

}  // namespace ait
