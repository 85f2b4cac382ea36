// Tensor maps of codegen/cuda/include/ait/cuda/tensor_map.hpp on the host: what a copy has to know.
#pragma once

#include <cstdint>

#include "ait/gpu.hpp"

struct CUtensorMap {
  const char* data;
  int rank, element_bytes, swizzle;
  std::int64_t sizes[5], strides[5];
  int box[5];
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
  *map = {reinterpret_cast<const char*>(data), Rank, sizeof(Element), tiles.swizzle, {}, {}, {}};
  for (int i = 0; i < Rank; ++i) {
    map->sizes[i] = tiles.sizes[i];
    map->strides[i] = (i == 0 ? 1 : tiles.strides[i - 1]) * std::int64_t{sizeof(Element)};
    map->box[i] = tiles.box[i];
    const bool aligned = i == 0 || map->strides[i] % 16 == 0;
    const bool fits = tiles.box[i] >= 1 && tiles.box[i] <= 256;
    const int width = tiles.box[0] * static_cast<int>(sizeof(Element));
    if (!aligned || !fits || width % 16 != 0 || (tiles.swizzle != 0 && width > tiles.swizzle)) {
      return Status{AIT_DEVICE_ERROR, "tiles: the driver cannot describe a tensor"};
    }
  }
  return ok();
}

}  // namespace ait::cuda
