// The safetensors reader alone: as a function for Python, and as a program that feeds it damaged
// files under sanitizers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "safetensors.hpp"

// The number of tensors, or -1 and the message.
extern "C" __attribute__((visibility("default"))) int probe(const unsigned char* bytes,
                                                             std::size_t size, char* message,
                                                             std::size_t room) {
  ait::SafetensorsFile file;
  const ait::Status status = ait::parse_safetensors(bytes, size, &file);
  std::snprintf(message, room, "%s", status.message());
  if (!status.is_ok()) return -1;
  // All that was promised must be readable.
  volatile unsigned char sum = 0;
  for (const auto& [name, entry] : file.tensors) {
    for (std::size_t i = 0; i < entry.bytes; ++i) {
      sum = static_cast<unsigned char>(sum ^ entry.data[i]);
    }
  }
  return static_cast<int>(file.tensors.size());
}

namespace {

std::vector<unsigned char> read_file(const char* path) {
  std::vector<unsigned char> bytes;
  std::FILE* file = std::fopen(path, "rb");
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) {
    bytes.push_back(static_cast<unsigned char>(c));
  }
  std::fclose(file);
  return bytes;
}

void mutate(std::vector<unsigned char>& bytes, std::mt19937& random) {
  static const char* const kPieces[] = {"\"", "{", "}", "[", "]", ",", ":", "\\", "\\u", "\\ud83d",
                                        "0", "9", "99999999999999999999", "-", "\xf0\x9f", "\xff"};
  const std::size_t at = random() % bytes.size();
  const auto position = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random() % 5) {
    case 0:
      bytes[at] = static_cast<unsigned char>(random());
      break;
    case 1:
      bytes.erase(position);
      break;
    case 2:
      bytes.resize(at + 1);
      break;
    case 3:
      bytes[random() % 8] = static_cast<unsigned char>(random());
      break;
    default: {
      const char* piece = kPieces[random() % std::size(kPieces)];
      bytes.insert(position, piece, piece + std::strlen(piece));
    }
  }
}

}  // namespace

int main(int, char** arguments) {
  const std::vector<unsigned char> good = read_file(arguments[1]);
  std::mt19937 random(1);
  char message[4096];
  int accepted = 0;
  for (int i = 0; i < std::atoi(arguments[2]); ++i) {
    std::vector<unsigned char> bytes = good;
    for (unsigned n = random() % 4; n != 0 && !bytes.empty(); --n) mutate(bytes, random);
    // A buffer of exactly the size, so that the sanitizer sees one byte too many.
    std::vector<unsigned char> exact(bytes.begin(), bytes.end());
    exact.shrink_to_fit();
    accepted += probe(exact.data(), exact.size(), message, sizeof message) >= 0;
  }
  std::printf("%d accepted\nall passed\n", accepted);
}
