// Reading the structs and tensors that callers hand over the C border.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "ait/status.hpp"

namespace ait {

// A struct of the caller has at least our fields. More, if it was compiled against a newer header,
// but not so much that the size is more likely to be a variable that nobody set.
template <class Struct>
Status check_struct_size(const Struct* given, const char* type) {
  constexpr std::size_t known = sizeof(Struct);
  const std::size_t size = given->struct_size;
  if (size >= known && size <= known + 1024 && size % alignof(Struct) == 0) return ok();
  return error(AIT_INVALID_ARGUMENT, "%s.struct_size is %zu, expected %zu: set it to sizeof(%s)",
               type, size, known, type);
}

// Copies a caller's struct. What a newer caller set beyond our knowledge is refused unless it is
// zero, the default.
template <class Struct>
Status read_struct(const Struct* given, const char* type, Struct* copy) {
  constexpr std::size_t known = sizeof(Struct);
  AIT_TRY(check_struct_size(given, type));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (std::any_of(bytes + known, bytes + given->struct_size, [](auto byte) { return byte != 0; })) {
    return error(AIT_INVALID_ARGUMENT,
                 "%s has a field set that this library (ABI version %d) does not know", type,
                 AIT_ABI_VERSION);
  }
  std::memcpy(copy, given, known);
  return ok();
}

// Fills a caller's struct.
template <class Struct>
Status write_struct(Struct value, const char* type, Struct* given) {
  AIT_TRY(check_struct_size(given, type));
  value.struct_size = given->struct_size;
  std::memcpy(given, &value, sizeof(Struct));
  return ok();
}

// A caller's array of tensors, checked once: afterwards each can be read.
class TensorList {
 public:
  static Status read(const ait_tensor* tensors, std::size_t count, TensorList* list);

  std::size_t size() const noexcept { return count_; }
  const ait_tensor& operator[](std::size_t i) const noexcept {
    return *reinterpret_cast<const ait_tensor*>(first_ + i * stride_);
  }

 private:
  const unsigned char* first_ = nullptr;
  std::size_t stride_ = sizeof(ait_tensor);
  std::size_t count_ = 0;
};

// Row-major without gaps. Strides of dims of size 1 do not matter, nor any if there is no element.
bool is_contiguous(const ait_tensor& tensor);

int64_t element_count(const ait_tensor& tensor);  // of sizes that are known to be sane

std::string dims_text(const int64_t* dims, int32_t rank);  // "[2, 128]"
std::string dtype_text(int32_t dtype);                     // "f32", "dtype 77"
const char* device_text(int32_t device);

}  // namespace ait
