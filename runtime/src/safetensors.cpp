#include "safetensors.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "json.hpp"

namespace ait {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxRank = 64;

// What the JSON says of a tensor, before it is held against the file.
struct Declaration {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct DTypeWidth {
  const char* name;
  uint64_t bytes;
};

// Of every type of the format, the model's or not: a file may hold more than a model needs.
constexpr DTypeWidth kWidths[] = {
    {"BOOL", 1}, {"U8", 1},      {"I8", 1},      {"I16", 2}, {"U16", 2},
    {"F16", 2},  {"BF16", 2},    {"I32", 4},     {"U32", 4}, {"F32", 4},
    {"F64", 8},  {"I64", 8},     {"U64", 8},     {"C64", 8}, {"F8_E4M3", 1},
    {"F8_E5M2", 1}, {"F8_E8M0", 1},
};

Status invalid(const std::string& what) { return Status(AIT_INVALID_WEIGHT, what.c_str()); }

std::string quoted(const std::string& name) { return "'" + name + "'"; }

uint64_t read_little_endian(const unsigned char* bytes) {
  uint64_t value = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

Status check_length(uint64_t length, std::size_t size) {
  if (length > kMaxHeaderBytes) {
    return invalid("the header's length is " + std::to_string(length) + " bytes, more than " +
                   std::to_string(kMaxHeaderBytes) + "; this is no safetensors file");
  }
  if (length > size - kLengthBytes) {
    return invalid("truncated: the header's length is " + std::to_string(length) +
                   " bytes, but only " + std::to_string(size - kLengthBytes) + " follow");
  }
  return ok();
}

Status read_shape(JsonReader& reader, std::vector<int64_t>* shape) {
  return reader.read_array([&]() -> Status {
    uint64_t size = 0;
    AIT_TRY(reader.read_unsigned(&size));
    if (size > INT64_MAX) return reader.fail("a size is too large");
    if (shape->size() == kMaxRank) return reader.fail("a shape has too many dims");
    shape->push_back(static_cast<int64_t>(size));
    return ok();
  });
}

Status read_offsets(JsonReader& reader, Declaration* tensor) {
  int count = 0;
  AIT_TRY(reader.read_array([&]() -> Status {
    if (count == 2) return reader.fail("data_offsets must be two numbers");
    return reader.read_unsigned(count++ == 0 ? &tensor->begin : &tensor->end);
  }));
  return count == 2 ? ok() : reader.fail("data_offsets must be two numbers");
}

Status read_declaration(JsonReader& reader, Declaration* tensor) {
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
  const auto once = [&](bool& seen, const std::string& field) {
    return std::exchange(seen, true) ? reader.fail("duplicate field " + quoted(field)) : ok();
  };
  AIT_TRY(reader.read_object([&](std::string field) -> Status {
    if (field == "dtype") {
      AIT_TRY(once(has_dtype, field));
      return reader.read_string(&tensor->dtype);
    }
    if (field == "shape") {
      AIT_TRY(once(has_shape, field));
      return read_shape(reader, &tensor->shape);
    }
    if (field == "data_offsets") {
      AIT_TRY(once(has_offsets, field));
      return read_offsets(reader, tensor);
    }
    return reader.fail("unknown field " + quoted(field) + " of tensor " + quoted(tensor->name));
  }));
  if (has_dtype && has_shape && has_offsets) return ok();
  return reader.fail("tensor " + quoted(tensor->name) + " lacks dtype, shape or data_offsets");
}

Status read_metadata(JsonReader& reader, SafetensorsFile* file) {
  return reader.read_object([&](std::string key) -> Status {
    std::string value;
    AIT_TRY(reader.read_string(&value));
    file->metadata[std::move(key)] = std::move(value);
    return ok();
  });
}

Status read_header(const unsigned char* text, std::size_t length, SafetensorsFile* file,
                   std::vector<Declaration>* tensors) {
  if (length == 0 || text[0] != '{') return invalid("invalid header at byte 0: expected '{'");
  JsonReader reader(reinterpret_cast<const char*>(text), length);
  std::unordered_set<std::string> names;
  AIT_TRY(reader.read_object([&](std::string key) -> Status {
    if (!names.insert(key).second) return reader.fail("duplicate name " + quoted(key));
    if (key == "__metadata__") {
      return read_metadata(reader, file);
    }
    Declaration tensor;
    tensor.name = std::move(key);
    AIT_TRY(read_declaration(reader, &tensor));
    tensors->push_back(std::move(tensor));
    return ok();
  }));
  return reader.read_end();
}

// Bytes of a tensor by its dtype and shape.
Status declared_bytes(const Declaration& tensor, uint64_t* bytes) {
  const auto* width = std::find_if(std::begin(kWidths), std::end(kWidths), [&](const auto& entry) {
    return tensor.dtype == entry.name;
  });
  if (width == std::end(kWidths)) {
    return invalid("tensor " + quoted(tensor.name) + " has the unknown dtype " +
                   quoted(tensor.dtype));
  }
  *bytes = width->bytes;
  for (const int64_t size : tensor.shape) {
    if (__builtin_mul_overflow(*bytes, static_cast<uint64_t>(size), bytes)) {
      return invalid("the shape of tensor " + quoted(tensor.name) + " is too large");
    }
  }
  return ok();
}

// Tensors in order of their offsets must follow each other without gap or overlap to the end.
Status check_layout(std::vector<Declaration>& tensors, uint64_t data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const Declaration& a, const Declaration& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const Declaration& tensor : tensors) {
    const std::string range = "tensor " + quoted(tensor.name) + " has data_offsets [" +
                              std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) +
                              "]";
    if (tensor.end < tensor.begin) return invalid(range + ", which end before they begin");
    if (tensor.end > data_bytes) {
      return invalid("truncated: " + range + ", but the file has " + std::to_string(data_bytes) +
                     " bytes of data");
    }
    if (tensor.begin != position) {
      return invalid(range + ", but the tensor before it ends at " + std::to_string(position));
    }
    uint64_t bytes = 0;
    AIT_TRY(declared_bytes(tensor, &bytes));
    if (tensor.end - tensor.begin != bytes) {
      return invalid(range + ", but its dtype and shape take " + std::to_string(bytes) + " bytes");
    }
    position = tensor.end;
  }
  if (position == data_bytes) return ok();
  return invalid("the tensors end at byte " + std::to_string(position) +
                 " of the data, which has " + std::to_string(data_bytes));
}

}  // namespace

Status parse_safetensors(const unsigned char* bytes, std::size_t size, SafetensorsFile* file) {
  if (size < kLengthBytes) {
    return invalid("truncated: the file has " + std::to_string(size) +
                   " bytes, but the header's length alone takes 8");
  }
  const uint64_t length = read_little_endian(bytes);
  AIT_TRY(check_length(length, size));
  std::vector<Declaration> tensors;
  AIT_TRY(read_header(bytes + kLengthBytes, length, file, &tensors));
  const unsigned char* data = bytes + kLengthBytes + length;
  AIT_TRY(check_layout(tensors, size - kLengthBytes - length));
  for (Declaration& tensor : tensors) {
    SafetensorsEntry entry{std::move(tensor.dtype), std::move(tensor.shape), data + tensor.begin,
                           tensor.end - tensor.begin};
    file->tensors.emplace(std::move(tensor.name), std::move(entry));
  }
  return ok();
}

}  // namespace ait
