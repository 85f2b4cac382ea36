// Collects everything that is wrong, so that a user sees all of it at once.
#pragma once

#include <string>
#include <vector>

#include "ait/status.hpp"

namespace ait {

class Problems {
 public:
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...);

  bool none() const { return texts_.empty(); }

  // ok if there are none; else all of them after `prefix`, one a line if there are several.
  Status status(ait_status code, const std::string& prefix = "") const;

 private:
  std::vector<std::string> texts_;
};

}  // namespace ait
