// Composable Kernel's multiply with a generated epilogue. A generated translation unit includes one
// of CK's device ops and names the types and numbers; all that needs no generation is here. Follows CK's examples 04 and 24.
#pragma once

#include "ait/gpu.hpp"

#include "ck/ck.hpp"
#include "ck/stream_config.hpp"
#include "ck/tensor_operation/gpu/device/gemm_specialization.hpp"
#include "ck/tensor_operation/gpu/device/tensor_layout.hpp"
#include "ck/tensor_operation/gpu/element/unary_element_wise_operation.hpp"

#include <array>
#include <exception>

namespace ait::hip {

using Row = ck::tensor_layout::gemm::RowMajor;
using Column = ck::tensor_layout::gemm::ColumnMajor;
using PassThrough = ck::tensor_operation::element_wise::PassThrough;
template <ck::index_t... Values>
using Ints = ck::Sequence<Values...>;

inline constexpr auto kPadded = ck::tensor_operation::device::GemmSpecialization::MNKPadding;

/// CK's storage types: what its vector loads know, bit for bit the type that a kernel stores.
template <class T>
struct storage {
  using type = T;
};
template <>
struct storage<half_t> {
  using type = ck::half_t;
};
template <>
struct storage<bfloat16_t> {
  using type = ck::bhalf_t;
};
template <class T>
using storage_t = typename storage<T>::type;

/// The value of an element that CK loaded from a tensor of T.
template <class T>
AIT_INLINE compute_t<T> loaded(storage_t<T> element) {
  return convert<compute_t<T>>(bit_cast<T>(element));
}

/// The element that CK is to store to a tensor of T.
template <class T, class V>
AIT_INLINE storage_t<T> stored(V value) {
  return bit_cast<storage_t<T>>(convert<T>(value));
}

/// A matrix of a batched gemm: its first element, and strides in elements.
struct Matrix {
  const void* data;
  std::int64_t stride;
  std::int64_t batch_stride;
};

struct Sizes {
  std::int64_t batch, m, n, k;
};

template <std::size_t Count>
struct Operands {
  Matrix a, b;
  std::array<Matrix, Count> extras;
  Matrix result;

  std::array<const void*, Count> pointers() const {
    return each<const void*>([](const Matrix& matrix) { return matrix.data; });
  }
  std::array<ck::index_t, Count> strides() const {
    return each<ck::index_t>([](const Matrix& matrix) { return matrix.stride; });
  }
  std::array<ck::index_t, Count> batch_strides() const {
    return each<ck::index_t>([](const Matrix& matrix) { return matrix.batch_stride; });
  }

 private:
  template <class T, class Function>
  std::array<T, Count> each(Function function) const {
    std::array<T, Count> values{};
    for (std::size_t i = 0; i < Count; ++i) values[i] = static_cast<T>(function(extras[i]));
    return values;
  }
};

/// Runs what CK may refuse or fail with an exception, none of which leaves a model.
template <class Function>
Status guarded(Function&& function) {
  try {
    function();
    return ok();
  } catch (const std::exception& error) {
    return device_error("Composable Kernel", error.what());
  }
}

/// One product. CK's IsSupportedArgument is not asked: it queries the device's properties on every
/// call, which takes longer than most gemms; the compiler has checked what it would.
template <class Gemm, class Epilogue, std::size_t Count>
Status multiply(const Launch& launch, const Sizes& sizes, const Operands<Count>& operands,
                const Epilogue& epilogue) {
  if (sizes.m == 0 || sizes.n == 0) return ok();
  return guarded([&] {
    const auto& [a, b, extras, result] = operands;
    const auto argument = Gemm::MakeArgument(
        a.data, b.data, operands.pointers(), const_cast<void*>(result.data), sizes.m, sizes.n,
        sizes.k, a.stride, b.stride, operands.strides(), result.stride, {}, {}, epilogue);
    Gemm::MakeInvoker().Run(argument, StreamConfig{gpu::stream_of(launch), false});
  });
}

/// A product for each of a batch.
template <class Gemm, class Epilogue, std::size_t Count>
Status multiply_batch(const Launch& launch, const Sizes& sizes, const Operands<Count>& operands,
                      const Epilogue& epilogue) {
  if (sizes.m == 0 || sizes.n == 0 || sizes.batch == 0) return ok();
  return guarded([&] {
    const auto& [a, b, extras, result] = operands;
    const auto argument = Gemm::MakeArgument(
        a.data, b.data, operands.pointers(), const_cast<void*>(result.data), sizes.m, sizes.n,
        sizes.k, sizes.batch, a.stride, b.stride, operands.strides(), result.stride,
        a.batch_stride, b.batch_stride, operands.batch_strides(), result.batch_stride, {}, {},
        epilogue);
    Gemm::MakeInvoker().Run(argument, StreamConfig{gpu::stream_of(launch), false});
  });
}

}  // namespace ait::hip
