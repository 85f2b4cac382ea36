// How much of its weights a kernel asks for before the kernel before it has ended. Weights do not depend
// on that one: they are complete before a run begins, and no kernel of a run writes them.
#pragma once

#include <algorithm>

namespace ait::cuda {

/// Bytes that a block asks for so early. They are no more than what the wait for memory hides: the first
/// products wait for all that was asked for.
constexpr int kEarlyBytes = 32 << 10;

/// Steps along k, with so many bytes of weights each, that are asked for early; at most `most`.
constexpr int early_steps(int bytes, int most) {
  return std::clamp(kEarlyBytes / bytes, 1, most);
}

}  // namespace ait::cuda
