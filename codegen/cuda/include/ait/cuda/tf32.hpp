// TF32 as an element type: f32 in memory, which tensor cores multiply with 10 bits of mantissa.
#pragma once

namespace ait::cuda {

/// An f32 that the copy engine rounds to TF32, to the nearest, on its way to shared memory.
struct Tf32 {
  float value;
};

}  // namespace ait::cuda
