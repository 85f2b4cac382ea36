// What Composable Kernel expects of HIP 6 or later and HIP 5's headers lack. With a newer HIP this
// is <hip/hip_runtime.h> and nothing else.
#pragma once
#include <hip/hip_runtime.h>
#if HIP_VERSION_MAJOR < 6
#include <hip/hip_fp16.h>

namespace __hip_internal {

template <bool Condition, class Then, class Else>
struct conditional {
  using type = Then;
};
template <class Then, class Else>
struct conditional<false, Then, Else> {
  using type = Else;
};

template <class Left, class Right>
struct is_same {
  static constexpr bool value = false;
};
template <class Type>
struct is_same<Type, Type> {
  static constexpr bool value = true;
};

}  // namespace __hip_internal

#ifndef __hip_assert
#define __hip_assert(condition)            \
  do {                                     \
    if (!(condition)) __builtin_trap();    \
  } while (0)
#endif
#endif
