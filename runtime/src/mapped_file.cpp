#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ait {
namespace {

class FileDescriptor {
 public:
  // Non-blocking, or a path that names a pipe would hang here instead of being refused below.
  explicit FileDescriptor(const char* path)
      : number_(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~FileDescriptor() {
    if (number_ >= 0) ::close(number_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int number() const noexcept { return number_; }

 private:
  int number_;
};

Status io_error(const char* path, const char* what) {
  return error(AIT_IO_ERROR, "weights file '%s': %s", path, what);
}

}  // namespace

Status MappedFile::open(const char* path, std::shared_ptr<const MappedFile>* file) {
  const FileDescriptor descriptor(path);
  if (descriptor.number() < 0) return io_error(path, std::strerror(errno));
  struct stat about {};
  if (::fstat(descriptor.number(), &about) != 0) return io_error(path, std::strerror(errno));
  if (!S_ISREG(about.st_mode)) return io_error(path, "not a regular file");

  std::shared_ptr<MappedFile> mapped(new MappedFile);
  const auto size = static_cast<std::size_t>(about.st_size);
  if (size != 0) {  // mmap refuses an empty one; the parser has the better message for it
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.number(), 0);
    if (data == MAP_FAILED) return io_error(path, std::strerror(errno));
    mapped->data_ = static_cast<const unsigned char*>(data);
    mapped->size_ = size;
  }
  *file = std::move(mapped);
  return ok();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<unsigned char*>(data_), size_);
}

}  // namespace ait
