// The header of a safetensors file: 8 bytes of length, that much JSON, then the tensors' bytes.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "ait/status.hpp"

namespace ait {

struct SafetensorsEntry {
  std::string dtype;  // as written: "F32", "BF16", ...
  std::vector<int64_t> shape;
  const unsigned char* data;
  std::size_t bytes;
};

struct SafetensorsFile {
  std::unordered_map<std::string, SafetensorsEntry> tensors;
  std::unordered_map<std::string, std::string> metadata;
};

// Reads the whole file's bytes without copying tensors. As strict as the format's own reader:
// sizes must fit shapes, and the tensors must cover the data exactly, so that a truncated file, an
// overlap or hidden bytes are refused. Any bytes at all are safe to give.
Status parse_safetensors(const unsigned char* bytes, std::size_t size, SafetensorsFile* file);

}  // namespace ait
