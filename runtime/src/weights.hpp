// The weights of a model: where they lie, and how they are replaced under running contexts.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "ait/model.hpp"
#include "tensors.hpp"

namespace ait {

// Memory on the model's device, or inside the library or a mapped file; freed with its last user.
using Buffer = std::shared_ptr<void>;

// All weights at one moment, one entry a weight of the table. Never changes once published, so that
// any number of runs may read it while its successor is built.
struct WeightSet {
  explicit WeightSet(std::size_t count) : buffers(count), pointers(count) {}

  void set(std::size_t index, Buffer buffer) {
    pointers[index] = buffer.get();
    buffers[index] = std::move(buffer);
  }

  std::vector<Buffer> buffers;
  std::vector<void*> pointers;
};

// A user's new value of one weight.
struct Replacement {
  const char* name;
  const ait_tensor* tensor;
};

class WeightStore {
 public:
  WeightStore(const ModelDescription& model, bool ignore_unexpected)
      : model_(model), ignore_unexpected_(ignore_unexpected) {}

  // Each publishes a whole new set or, on any error, nothing.
  Status load_embedded();
  Status load_file(const char* path);
  Status replace(const std::vector<Replacement>& replacements);

  std::shared_ptr<const WeightSet> current() const;
  void clear();  // gives the weights up, but for those that a context still uses

 private:
  Status check_replacements(const std::vector<Replacement>& replacements,
                            std::vector<std::size_t>* indices) const;
  void publish(std::shared_ptr<const WeightSet> set);

  const ModelDescription& model_;
  const bool ignore_unexpected_;
  std::mutex writer_;  // one replacement at a time, or one would lose the other's
  mutable std::mutex current_mutex_;
  std::shared_ptr<const WeightSet> current_;
};

}  // namespace ait
