// The result of everything that can fail inside a model: ok costs one null pointer.
#pragma once

#include <cstdarg>
#include <memory>
#include <string>
#include <utility>

#include "ait.h"

namespace ait {

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(ait_status code, std::string message)
      : failure_(new Failure{code, std::move(message)}) {}

  bool is_ok() const noexcept { return failure_ == nullptr; }
  ait_status code() const noexcept { return failure_ ? failure_->code : AIT_OK; }
  const char* message() const noexcept { return failure_ ? failure_->message.c_str() : ""; }

 private:
  struct Failure {
    ait_status code;
    std::string message;
  };
  std::unique_ptr<Failure> failure_;
};

inline Status ok() noexcept { return {}; }

// A failure with a printf-style message.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
Status error(ait_status code, const char* format, ...);

// printf into a string of the right size.
std::string format_text(const char* format, std::va_list arguments);

}  // namespace ait

// Returns from the enclosing function with the failure of `expression`, if it has one.
#define AIT_TRY(expression)                                      \
  do {                                                           \
    if (::ait::Status ait_status_ = (expression); !ait_status_.is_ok()) return ait_status_; \
  } while (false)
