// Attention of few queries, which is bound by reading keys and values: a block has one query, and each of
// its teams of lanes a key at a time, in packs. Every team weighs its own keys, with the largest score
// that it has met; teams and warps are joined at the end. Any float types and strides, in f32.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gpu/own_attention.hpp"
#include "ait/gpu/team.hpp"

namespace ait::gpu {

/// How a warp reads keys and values: `Kernel` is generated, see `query_attention`.
template <class Kernel>
struct QueryAttention {
  static constexpr int lanes_for(int size, int pack) {
    int lanes = 1;
    while (lanes < 32 && lanes * pack < size) lanes *= 2;
    return lanes;
  }
  static constexpr int packs_for(int size, int pack, int lanes) {
    return (size + pack * lanes - 1) / (pack * lanes);
  }
  /// Of a key, and the packs that each has of it.
  static constexpr int kLanes = std::max(lanes_for(Kernel::kDepth, Kernel::kDepthPack),
                                         lanes_for(Kernel::kValue, Kernel::kValuePack));
  static constexpr int kDepthPacks = packs_for(Kernel::kDepth, Kernel::kDepthPack, kLanes);
  static constexpr int kValuePacks = packs_for(Kernel::kValue, Kernel::kValuePack, kLanes);
  /// Keys that a team reads at once: what a lane has of them fits its registers.
  static constexpr int kSteps = std::max(1, 4 / std::max(kDepthPacks, kValuePacks));
  static constexpr int kThreads = 32 * Kernel::kWarps, kTeams = kThreads / kLanes;
};

/// The pack of a lane that begins at element `d` of a line of `Size`; zeros beyond it.
template <int Size, int Count, class Element>
__device__ __forceinline__ void load_part(const Element* line, int d, float (&values)[Count]) {
  Pack<Element, Count> pack{};
  if (d < Size) pack = load_pack<Count>(line + d);
#pragma unroll
  for (int i = 0; i < Count; ++i) values[i] = ait::convert<float>(pack.value[i]);
}

/// `Kernel` is generated: `Index`, `Arguments` (with `batches`, `heads`, `rows`, `columns`), `kCausal`,
/// the head sizes `kDepth` and `kValue`, the elements `kDepthPack` and `kValuePack` that are loaded at
/// once, `kWarps`, the lines `query(arguments, batch, head, row)`, `key(arguments, batch, head, column)`
/// and `value(...)`, the region `score(arguments, batch, head, row, column, dot)`, and
/// `store(arguments, batch, head, row, d, values)`.
template <class Kernel>
__global__ void __launch_bounds__(QueryAttention<Kernel>::kThreads)
    query_attention(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Parts = QueryAttention<Kernel>;
  using Index = typename Kernel::Index;
  constexpr int kLanes = Parts::kLanes, kSteps = Parts::kSteps, kTeams = Parts::kTeams;
  constexpr int kDepth = Kernel::kDepth, kDepthPack = Kernel::kDepthPack;
  constexpr int kValue = Kernel::kValue, kValuePack = Kernel::kValuePack;
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  __shared__ float parts[Kernel::kWarps][kValue];
  __shared__ float warp_largest[Kernel::kWarps], warp_total[Kernel::kWarps];

  wait_for_inputs();
  let_next_start();
  const auto place =
      attention_place<Index>(arguments, static_cast<Index>(blockIdx.x), 1, Kernel::kCausal);
  const Index batch = place.batch, head = place.head, row = place.first;
  const int lane = threadIdx.x % kLanes, team = threadIdx.x / kLanes;

  float query[Parts::kDepthPacks][kDepthPack];
  const auto* const own_query = Kernel::query(arguments, batch, head, row);
#pragma unroll
  for (int p = 0; p < Parts::kDepthPacks; ++p) {
    load_part<kDepth>(own_query, (p * kLanes + lane) * kDepthPack, query[p]);
  }

  float largest = kNothing, total = 0.0f, sums[Parts::kValuePacks][kValuePack] = {};
  for (Index first = 0; first < place.keys; first += kTeams * kSteps) {
    // Keys beyond the last one are read as that, and weigh nothing.
    float keys[kSteps][Parts::kDepthPacks][kDepthPack];
    float values[kSteps][Parts::kValuePacks][kValuePack];
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const Index column = first + s * kTeams + team;
      const Index read = column < place.keys ? column : place.keys - 1;
      const auto* const key = Kernel::key(arguments, batch, head, read);
      const auto* const value = Kernel::value(arguments, batch, head, read);
#pragma unroll
      for (int p = 0; p < Parts::kDepthPacks; ++p) {
        load_part<kDepth>(key, (p * kLanes + lane) * kDepthPack, keys[s][p]);
      }
#pragma unroll
      for (int p = 0; p < Parts::kValuePacks; ++p) {
        load_part<kValue>(value, (p * kLanes + lane) * kValuePack, values[s][p]);
      }
    }
    float scores[kSteps];
    float next = largest;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      float dot = 0.0f;
#pragma unroll
      for (int p = 0; p < Parts::kDepthPacks; ++p) {
#pragma unroll
        for (int i = 0; i < kDepthPack; ++i) dot = fmaf(query[p][i], keys[s][p][i], dot);
      }
#pragma unroll
      for (int mask = kLanes / 2; mask > 0; mask /= 2) dot += shuffle(dot, mask);
      const Index column = first + s * kTeams + team;
      scores[s] = column < place.keys ? Kernel::score(arguments, batch, head, row, column, dot)
                                      : kNothing;
      next = fmaxf(next, scores[s]);
    }
    const float base = next == kNothing ? 0.0f : next;
    const float change = ait::exp(largest - base);
    largest = next;
    total *= change;
#pragma unroll
    for (int p = 0; p < Parts::kValuePacks; ++p) {
#pragma unroll
      for (int i = 0; i < kValuePack; ++i) sums[p][i] *= change;
    }
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const float weight = ait::exp(scores[s] - base);
      total += weight;
#pragma unroll
      for (int p = 0; p < Parts::kValuePacks; ++p) {
#pragma unroll
        for (int i = 0; i < kValuePack; ++i) {
          sums[p][i] = fmaf(weight, values[s][p][i], sums[p][i]);
        }
      }
    }
  }

  // The teams of a warp, then the warps.
  float highest = largest;
#pragma unroll
  for (int mask = 16; mask >= kLanes; mask /= 2) highest = fmaxf(highest, shuffle(highest, mask));
  const float change = ait::exp(largest - (highest == kNothing ? 0.0f : highest));
  total *= change;
#pragma unroll
  for (int mask = 16; mask >= kLanes; mask /= 2) total += shuffle(total, mask);
  const int warp = threadIdx.x / 32;
#pragma unroll
  for (int p = 0; p < Parts::kValuePacks; ++p) {
#pragma unroll
    for (int i = 0; i < kValuePack; ++i) {
      float sum = sums[p][i] * change;
#pragma unroll
      for (int mask = 16; mask >= kLanes; mask /= 2) sum += shuffle(sum, mask);
      const int d = (p * kLanes + lane) * kValuePack + i;
      if (threadIdx.x % 32 < kLanes && d < kValue) parts[warp][d] = sum;
    }
  }
  if (threadIdx.x % 32 == 0) {
    warp_largest[warp] = highest;
    warp_total[warp] = total;
  }
  __syncthreads();
  float weights[Kernel::kWarps];
  highest = kNothing;
#pragma unroll
  for (int w = 0; w < Kernel::kWarps; ++w) highest = fmaxf(highest, warp_largest[w]);
  total = 0.0f;
#pragma unroll
  for (int w = 0; w < Kernel::kWarps; ++w) {
    weights[w] = ait::exp(warp_largest[w] - (highest == kNothing ? 0.0f : highest));
    total = fmaf(weights[w], warp_total[w], total);
  }
  const float factor = total == 0.0f ? 0.0f : 1.0f / total;
  for (int d = threadIdx.x; d < kValue; d += Parts::kThreads) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < Kernel::kWarps; ++w) sum = fmaf(weights[w], parts[w][d], sum);
    const float results[] = {sum * factor};
    Kernel::store(arguments, batch, head, row, static_cast<Index>(d), results);
  }
}

template <class Kernel>
ait::Status run_query_attention(const ait::Launch& launch,
                                const typename Kernel::Arguments& arguments) {
  unsigned blocks = 0;
  AIT_TRY(attention_blocks(arguments, 1, blocks));
  return gpu::launch(launch, query_attention<Kernel>, dim3(blocks),
                     dim3(QueryAttention<Kernel>::kThreads), arguments);
}

}  // namespace ait::gpu
