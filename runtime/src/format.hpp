// printf into strings.
#pragma once

#include <cstdarg>
#include <string>

namespace ait {

// A string of the right size.
std::string format_text(const char* format, std::va_list arguments);

}  // namespace ait
