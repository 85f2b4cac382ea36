// Tensor-core fragments on the host: every thread of a warp holds, and computes, whole fragments.
#pragma once

#include <type_traits>

#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

inline float number(float value) { return value; }
inline float number(__half value) { return __half2float(value); }
inline float number(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class Use, int M, int N, int K, class Element, class Layout = void>
struct fragment {
  static constexpr int kRows = std::is_same_v<Use, matrix_b> ? K : M;
  static constexpr int kColumns = std::is_same_v<Use, matrix_a> ? K : N;
  float value[kRows][kColumns];
};

inline void check(const void* pointer, std::size_t pitch_bytes) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % 32 != 0 || pitch_bytes % 16 != 0) {
    std::fprintf(stderr, "a fragment at an address or pitch that the device does not take\n");
    std::abort();
  }
}

template <class Fragment, class Value>
void fill_fragment(Fragment& target, Value value) {
  for (auto& row : target.value)
    for (float& element : row) element = value;
}

template <class Use, int M, int N, int K, class Element, class Layout>
void load_matrix_sync(fragment<Use, M, N, K, Element, Layout>& target, const Element* from,
                      unsigned pitch) {
  check(from, pitch * sizeof(Element));
  using Fragment = fragment<Use, M, N, K, Element, Layout>;
  for (int i = 0; i < Fragment::kRows; ++i)
    for (int j = 0; j < Fragment::kColumns; ++j)
      target.value[i][j] = number(std::is_same_v<Layout, row_major> ? from[i * pitch + j]
                                                                    : from[j * pitch + i]);
}

template <int M, int N, int K>
void store_matrix_sync(float* to, const fragment<accumulator, M, N, K, float>& source,
                       unsigned pitch, layout_t) {
  check(to, pitch * sizeof(float));
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j) to[i * pitch + j] = source.value[i][j];
}

template <int M, int N, int K, class A, class LayoutA, class B, class LayoutB>
void mma_sync(fragment<accumulator, M, N, K, float>& sums,
              const fragment<matrix_a, M, N, K, A, LayoutA>& a,
              const fragment<matrix_b, M, N, K, B, LayoutB>& b,
              const fragment<accumulator, M, N, K, float>&) {
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < N; ++j)
      for (int k = 0; k < K; ++k) sums.value[i][j] += a.value[i][k] * b.value[k][j];
}

}  // namespace nvcuda::wmma
