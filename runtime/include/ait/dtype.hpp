// Element types. The numbers are those of ait.h and of the compiler.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ait.h"

namespace ait {

enum class DType : int32_t {
  f32 = AIT_F32,
  f16 = AIT_F16,
  bf16 = AIT_BF16,
  i64 = AIT_I64,
  i32 = AIT_I32,
  i8 = AIT_I8,
  i1 = AIT_I1,
  f8E4M3FN = AIT_F8E4M3FN,
};

struct DTypeInfo {
  const char* name;
  const char* safetensors_name;
  int64_t bytes;
};

// Indexed by DType.
inline constexpr DTypeInfo kDTypes[] = {
    {"f32", "F32", 4}, {"f16", "F16", 2}, {"bf16", "BF16", 2}, {"i64", "I64", 8},
    {"i32", "I32", 4}, {"i8", "I8", 1},   {"i1", "BOOL", 1},  {"f8E4M3FN", "F8_E4M3", 1},
};

constexpr bool is_dtype(int32_t number) { return number >= AIT_F32 && number <= AIT_F8E4M3FN; }
constexpr const DTypeInfo& info(DType dtype) { return kDTypes[static_cast<int32_t>(dtype)]; }
constexpr int64_t size_of(DType dtype) { return info(dtype).bytes; }
constexpr const char* name_of(DType dtype) { return info(dtype).name; }

}  // namespace ait
