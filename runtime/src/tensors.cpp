#include "tensors.hpp"

#include "ait/dtype.hpp"

namespace ait {

Status TensorList::read(const ait_tensor* tensors, std::size_t count, TensorList* list) {
  if (count == 0) return ok();
  if (tensors == nullptr) {
    return error(AIT_INVALID_ARGUMENT, "the array of %zu tensors is null", count);
  }
  list->first_ = reinterpret_cast<const unsigned char*>(tensors);
  list->stride_ = tensors->struct_size;  // a newer caller's structs are longer than ours
  list->count_ = count;
  for (std::size_t i = 0; i < count; ++i) {
    const ait_tensor& tensor = (*list)[i];
    if (tensor.struct_size != list->stride_) {
      return error(AIT_INVALID_ARGUMENT, "tensor %zu has struct_size %zu, but tensor 0 has %zu", i,
                   tensor.struct_size, list->stride_);
    }
    ait_tensor copy;
    AIT_TRY(read_struct(&tensor, "ait_tensor", &copy));
    if (copy.rank < 0 || (copy.rank > 0 && copy.shape == nullptr)) {
      return error(AIT_INVALID_ARGUMENT, "tensor %zu has rank %d and %s", i, copy.rank,
                   copy.shape == nullptr ? "no shape" : "a shape");
    }
  }
  return ok();
}

bool is_contiguous(const ait_tensor& tensor) {
  if (tensor.strides == nullptr) return true;
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    if (tensor.shape[axis] == 0) return true;
  }
  int64_t expected = 1;
  for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != expected) return false;
    expected *= tensor.shape[axis];
  }
  return true;
}

int64_t element_count(const ait_tensor& tensor) {
  int64_t count = 1;
  for (int32_t axis = 0; axis < tensor.rank; ++axis) count *= tensor.shape[axis];
  return count;
}

std::string dims_text(const int64_t* dims, int32_t rank) {
  std::string text = "[";
  for (int32_t axis = 0; axis < rank; ++axis) {
    if (axis != 0) text += ", ";
    text += std::to_string(dims[axis]);
  }
  return text + "]";
}

std::string dtype_text(int32_t dtype) {
  if (is_dtype(dtype)) return name_of(static_cast<DType>(dtype));
  return "dtype " + std::to_string(dtype);
}

const char* device_text(int32_t device) {
  switch (device) {
    case AIT_CPU:
      return "cpu";
    case AIT_CUDA:
      return "cuda";
    case AIT_HIP:
      return "hip";
    default:
      return "an unknown device";
  }
}

}  // namespace ait
