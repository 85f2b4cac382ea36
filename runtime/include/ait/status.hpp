// The result of everything that can fail inside a model: ok costs one null pointer.
//
// Every kernel includes this: the standard library's strings would take a fifth of the time that a
// kernel compiles.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "ait.h"

namespace ait {

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(ait_status code, const char* message) : failure_(made(code, message)) {}
  Status(Status&& other) noexcept : failure_(other.failure_) { other.failure_ = nullptr; }
  Status& operator=(Status&& other) noexcept {
    Failure* const mine = failure_;
    failure_ = other.failure_;
    other.failure_ = mine;
    return *this;
  }
  ~Status() { std::free(failure_); }

  bool is_ok() const noexcept { return failure_ == nullptr; }
  ait_status code() const noexcept { return failure_ ? failure_->code : AIT_OK; }
  // Ends with the status.
  const char* message() const noexcept {
    return failure_ ? reinterpret_cast<const char*>(failure_ + 1) : "";
  }

 private:
  // The message follows, with its final zero.
  struct Failure {
    ait_status code;
  };

  static Failure* made(ait_status code, const char* message) {
    const std::size_t bytes = std::strlen(message) + 1;
    void* const place = std::malloc(sizeof(Failure) + bytes);
    if (place == nullptr) throw std::bad_alloc();
    auto* const failure = new (place) Failure{code};
    std::memcpy(failure + 1, message, bytes);
    return failure;
  }

  Failure* failure_ = nullptr;
};

inline Status ok() noexcept { return {}; }

// What was tried on a device, and what it or its driver said.
inline Status device_error(const char* what, const char* answer) {
  char message[256];
  std::snprintf(message, sizeof(message), "%s: %s", what, answer);
  return Status(AIT_DEVICE_ERROR, message);
}

// A failure with a printf-style message.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
Status error(ait_status code, const char* format, ...);

}  // namespace ait

// Returns from the enclosing function with the failure of `expression`, if it has one.
#define AIT_TRY(expression)                                      \
  do {                                                           \
    if (::ait::Status ait_status_ = (expression); !ait_status_.is_ok()) return ait_status_; \
  } while (false)
