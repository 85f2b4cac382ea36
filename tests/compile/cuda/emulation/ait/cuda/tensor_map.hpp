// Tensor maps (codegen/cuda/include/ait/cuda/tensor_map.hpp) for the host: what the driver checks is
// checked, and the boxes are copied element by element by the emulated hopper.hpp.
#pragma once

#include <cstdint>

#include "ait/cuda/tf32.hpp"
#include "ait/cuda/warp.hpp"
#include "ait/gpu.hpp"

struct CUtensorMap {
  const char* data;
  int element_bytes, rank, swizzle;
  std::int64_t sizes[5], strides[5];  // strides in bytes
  int box[5];
  bool rounds;  // to TF32
};

namespace ait::cuda {

template <int Rank>
struct Tiles {
  std::int64_t sizes[Rank];
  std::int64_t strides[Rank > 1 ? Rank - 1 : 1];
  int box[Rank];
  int swizzle;
};

template <class Element, int Rank>
Status make_map(CUtensorMap* map, const Element* data, const Tiles<Rank>& tiles) {
  constexpr int kBytes = sizeof(Element);
  *map = {reinterpret_cast<const char*>(data), kBytes, Rank, tiles.swizzle, {}, {}, {},
          std::is_same_v<Element, Tf32>};
  bool valid = reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  for (int i = 0; i < Rank; ++i) {
    map->sizes[i] = tiles.sizes[i];
    map->box[i] = tiles.box[i];
    map->strides[i] = i == 0 ? kBytes : tiles.strides[i - 1] * kBytes;
    valid &= tiles.sizes[i] > 0 && tiles.box[i] > 0 && tiles.box[i] <= 256;
    valid &= i == 0 || (map->strides[i] % 16 == 0 && map->strides[i] > 0);
  }
  const int width = tiles.box[0] * kBytes;
  valid &= width % 16 == 0 && (tiles.swizzle == 0 || width <= tiles.swizzle);
  return valid ? ok() : Status{AIT_DEVICE_ERROR, "no such tensor map"};
}

}  // namespace ait::cuda
