#include "problems.hpp"

#include <cstdarg>

#include "format.hpp"

namespace ait {

void Problems::add(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  texts_.push_back(format_text(format, arguments));
  va_end(arguments);
}

Status Problems::status(ait_status code, const std::string& prefix) const {
  if (texts_.empty()) return ok();
  if (texts_.size() == 1) return Status(code, (prefix + texts_.front()).c_str());
  std::string all = prefix + std::to_string(texts_.size()) + " problems:";
  for (const std::string& text : texts_) all += "\n- " + text;
  return Status(code, all.c_str());
}

}  // namespace ait
