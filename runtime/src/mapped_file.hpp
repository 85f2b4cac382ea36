// A file's bytes, mapped read-only and private for as long as the object lives.
#pragma once

#include <cstddef>
#include <memory>

#include "ait/status.hpp"

namespace ait {

class MappedFile {
 public:
  // A file that is truncated by someone else while it is mapped makes later reads fault (SIGBUS):
  // nothing short of copying it prevents that, so ait.h asks users not to.
  static Status open(const char* path, std::shared_ptr<const MappedFile>* file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const unsigned char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  MappedFile() = default;

  const unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ait
