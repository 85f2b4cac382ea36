#include "weights.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "ait/device.hpp"
#include "device_memory.hpp"
#include "mapped_file.hpp"
#include "problems.hpp"
#include "report.hpp"
#include "safetensors.hpp"
#include "thread_pool.hpp"

namespace ait {
namespace {

using Index = std::size_t;

Index weight_count(const ModelDescription& model) {
  return static_cast<Index>(model.weight_count);
}

std::string form_text(const WeightDescription& weight) {
  return std::string(name_of(weight.dtype)) + dims_text(weight.shape, weight.rank);
}

bool is_aligned(const void* pointer, const ModelDescription& model) {
  return reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(model.weight_alignment) == 0;
}

// Makes host bytes usable by kernels: in place where they are if that is possible. `owner` keeps
// them alive then; it is null for those of the library itself.
Status place(const ModelDescription& model, const unsigned char* bytes, std::size_t size,
             const std::shared_ptr<const void>& owner, Buffer* buffer) {
  if (device::kind() == AIT_CPU && is_aligned(bytes, model)) {
    // Kernels take all pointers as void*, but never write to an operand.
    *buffer = Buffer(std::const_pointer_cast<void>(owner), const_cast<unsigned char*>(bytes));
    return ok();
  }
  AIT_TRY(allocate_shared(size, buffer));
  return device::copy_from_host(buffer->get(), bytes, size);
}

// Runs the model's `prepare`: fills in all derived weights from the raw ones of the same set.
Status derive(const ModelDescription& model, WeightSet* set) {
  std::vector<Index> derived;
  std::vector<Buffer> buffers;
  std::vector<void*> outputs;
  for (Index i = 0; i < weight_count(model); ++i) {
    if (model.weights[i].role != WeightRole::derived) continue;
    Buffer buffer;
    AIT_TRY(allocate_shared(static_cast<std::size_t>(model.weights[i].bytes), &buffer));
    derived.push_back(i);
    outputs.push_back(buffer.get());
    buffers.push_back(std::move(buffer));
  }
  if (derived.empty() || model.prepare == nullptr) return ok();

  Buffer workspace;
  AIT_TRY(allocate_shared(static_cast<std::size_t>(model.prepare_workspace_bytes), &workspace));
  ThreadPool pool(device::kind() == AIT_CPU ? resolve_thread_count(0) : 1);
  RunArguments arguments{};
  Report report;
  AIT_TRY(report.open());
  arguments.launch.pool = pool.size() > 1 ? &pool : nullptr;
  arguments.launch.report = report.record();
  arguments.outputs = outputs.data();
  arguments.weights = set->pointers.data();
  arguments.workspace = workspace.get();
  AIT_TRY(model.prepare(arguments));
  AIT_TRY(device::synchronize(nullptr));
  AIT_TRY(report.take());
  for (Index i = 0; i < derived.size(); ++i) set->set(derived[i], std::move(buffers[i]));
  return ok();
}

// Whether derived weights must come with the raw ones because the model cannot compute them.
bool derived_are_given(const ModelDescription& model) { return model.prepare == nullptr; }

const char* const kFrozenReason =
    "was folded into other weights at compile time and not kept (compile without freezing to "
    "replace it)";

// ---- weights files ----------------------------------------------------------------------------

class FileLoader {
 public:
  FileLoader(const ModelDescription& model, const char* path)
      : model_(model), prefix_("weights file '" + std::string(path) + "': ") {}

  Status load(const char* path, bool ignore_unexpected, WeightSet* set) {
    AIT_TRY(MappedFile::open(path, &file_));
    if (Status s = parse_safetensors(file_->data(), file_->size(), &content_); !s.is_ok()) {
      return Status(s.code(), (prefix_ + s.message()).c_str());
    }
    const bool use_derived = trusts_derived();
    Problems problems;
    for (Index i = 0; i < weight_count(model_); ++i) {
      check(model_.weights[i], use_derived, problems);
    }
    if (!ignore_unexpected) check_unexpected(problems);
    AIT_TRY(problems.status(AIT_INVALID_WEIGHT, prefix_));
    for (Index i = 0; i < weight_count(model_); ++i) {
      if (is_read(model_.weights[i], use_derived)) AIT_TRY(place_weight(i, set));
    }
    return use_derived ? ok() : derive(model_, set);
  }

 private:
  static bool is_read(const WeightDescription& weight, bool use_derived) {
    return weight.role == WeightRole::raw || (weight.role == WeightRole::derived && use_derived);
  }

  const SafetensorsEntry* find(const char* name) const {
    const auto found = content_.tensors.find(name);
    return found == content_.tensors.end() ? nullptr : &found->second;
  }

  // A raw tensor of the file may have been edited since the derived ones were computed, which would
  // silently give the old model's answers. Tools that edit a file do not keep our fingerprint.
  bool trusts_derived() const {
    if (derived_are_given(model_)) return true;
    const auto prepared = content_.metadata.find("ait.prepared");
    if (model_.fingerprint == nullptr || prepared == content_.metadata.end()) return false;
    if (prepared->second != model_.fingerprint) return false;
    for (Index i = 0; i < weight_count(model_); ++i) {
      const WeightDescription& weight = model_.weights[i];
      if (weight.role == WeightRole::derived && find(weight.name) == nullptr) return false;
    }
    return true;
  }

  void check(const WeightDescription& weight, bool use_derived, Problems& problems) const {
    const SafetensorsEntry* entry = find(weight.name);
    if (weight.role == WeightRole::frozen) {
      if (entry != nullptr) problems.add("weight '%s' %s", weight.name, kFrozenReason);
      return;
    }
    if (!is_read(weight, use_derived)) return;
    const std::string form = form_text(weight);
    if (entry == nullptr) {
      problems.add("weight '%s' (%s) is missing", weight.name, form.c_str());
      return;
    }
    const auto rank = static_cast<int32_t>(entry->shape.size());
    const bool same_shape =
        rank == weight.rank && std::equal(entry->shape.begin(), entry->shape.end(), weight.shape);
    if (same_shape && entry->dtype == info(weight.dtype).safetensors_name) return;
    problems.add("weight '%s' is %s%s, expected %s", weight.name, entry->dtype.c_str(),
                 dims_text(entry->shape.data(), rank).c_str(), form.c_str());
  }

  void check_unexpected(Problems& problems) const {
    std::vector<std::string> unexpected;
    for (const auto& [name, entry] : content_.tensors) {
      if (!is_known(name)) unexpected.push_back(name);
    }
    std::sort(unexpected.begin(), unexpected.end());
    for (const std::string& name : unexpected) {
      problems.add("tensor '%s' is not a weight of this model", name.c_str());
    }
  }

  bool is_known(const std::string& name) const {
    return std::any_of(model_.weights, model_.weights + model_.weight_count,
                       [&](const WeightDescription& weight) { return name == weight.name; });
  }

  Status place_weight(Index index, WeightSet* set) const {
    const SafetensorsEntry* entry = find(model_.weights[index].name);
    Buffer buffer;
    AIT_TRY(place(model_, entry->data, entry->bytes, file_, &buffer));
    set->set(index, std::move(buffer));
    return ok();
  }

  const ModelDescription& model_;
  const std::string prefix_;
  std::shared_ptr<const MappedFile> file_;
  SafetensorsFile content_;
};

// ---- single weights ---------------------------------------------------------------------------

void check_replacement(const WeightDescription& weight, const ait_tensor& tensor,
                       Problems& problems) {
  const bool same_form = tensor.dtype == static_cast<int32_t>(weight.dtype) &&
                         tensor.rank == weight.rank &&
                         std::equal(tensor.shape, tensor.shape + tensor.rank, weight.shape);
  if (!same_form) {
    problems.add("weight '%s' is %s%s, expected %s", weight.name, dtype_text(tensor.dtype).c_str(),
                 dims_text(tensor.shape, tensor.rank).c_str(), form_text(weight).c_str());
  } else if (!is_contiguous(tensor)) {
    problems.add("weight '%s' is not contiguous (strides %s)", weight.name,
                 dims_text(tensor.strides, tensor.rank).c_str());
  } else if (tensor.data == nullptr && weight.bytes != 0) {
    problems.add("weight '%s' has no data", weight.name);
  } else if (tensor.device != AIT_CPU && tensor.device != device::kind()) {
    problems.add("weight '%s' is on %s, expected cpu or %s", weight.name,
                 device_text(tensor.device), device_text(device::kind()));
  }
}

Status copy_tensor(const WeightDescription& weight, const ait_tensor& tensor, Buffer* buffer) {
  const auto bytes = static_cast<std::size_t>(weight.bytes);
  AIT_TRY(allocate_shared(bytes, buffer));
  return tensor.device == AIT_CPU ? device::copy_from_host(buffer->get(), tensor.data, bytes)
                                  : device::copy_on_device(buffer->get(), tensor.data, bytes);
}

// The error of a library that lacks these weights: a large one lacks thousands, all for one reason.
Status needs_file(const std::vector<const char*>& missing) {
  constexpr std::size_t kShown = 4;
  std::string text =
      "the model needs a weights file (`weights_path` in C, `weights` in Python, `--weights`): the "
      "library does not hold ";
  for (std::size_t i = 0; i < std::min(missing.size(), kShown); ++i) {
    text += (i == 0 ? "'" : ", '") + std::string(missing[i]) + "'";
  }
  if (missing.size() > kShown) {
    text += " and " + std::to_string(missing.size() - kShown) + " more";
  }
  return Status(AIT_INVALID_WEIGHT, text.c_str());
}

}  // namespace

Status WeightStore::load_embedded() {
  auto set = std::make_shared<WeightSet>(weight_count(model_));
  std::vector<const char*> missing;
  bool has_all_derived = true;
  for (Index i = 0; i < weight_count(model_); ++i) {
    const WeightDescription& weight = model_.weights[i];
    if (weight.offset >= 0 && model_.blob != nullptr) {
      Buffer buffer;
      AIT_TRY(place(model_, model_.blob + weight.offset, static_cast<std::size_t>(weight.bytes),
                    nullptr, &buffer));
      set->set(i, std::move(buffer));
    } else if (weight.role == WeightRole::derived && !derived_are_given(model_)) {
      has_all_derived = false;
    } else if (weight.role != WeightRole::frozen) {
      missing.push_back(weight.name);
    }
  }
  if (!missing.empty()) return needs_file(missing);
  if (!has_all_derived) AIT_TRY(derive(model_, set.get()));
  publish(std::move(set));
  return ok();
}

Status WeightStore::load_file(const char* path) {
  std::lock_guard<std::mutex> lock(writer_);
  auto set = std::make_shared<WeightSet>(weight_count(model_));
  AIT_TRY(FileLoader(model_, path).load(path, ignore_unexpected_, set.get()));
  publish(std::move(set));
  return ok();
}

Status WeightStore::check_replacements(const std::vector<Replacement>& replacements,
                                       std::vector<std::size_t>* indices) const {
  Problems problems;
  for (const Replacement& replacement : replacements) {
    const auto* last = model_.weights + model_.weight_count;
    const auto* weight = std::find_if(model_.weights, last, [&](const WeightDescription& known) {
      return std::strcmp(known.name, replacement.name) == 0;
    });
    if (weight == last) {
      problems.add("the model has no weight '%s'", replacement.name);
    } else if (weight->role == WeightRole::frozen) {
      problems.add("weight '%s' %s", weight->name, kFrozenReason);
    } else if (weight->role == WeightRole::derived) {
      problems.add("weight '%s' is computed from other weights; replace those", weight->name);
    } else {
      check_replacement(*weight, *replacement.tensor, problems);
      indices->push_back(static_cast<std::size_t>(weight - model_.weights));
    }
  }
  return problems.status(AIT_INVALID_WEIGHT);
}

Status WeightStore::replace(const std::vector<Replacement>& replacements) {
  std::vector<std::size_t> indices;
  AIT_TRY(check_replacements(replacements, &indices));
  std::lock_guard<std::mutex> lock(writer_);
  auto set = std::make_shared<WeightSet>(*current());
  for (Index i = 0; i < indices.size(); ++i) {
    Buffer buffer;
    AIT_TRY(copy_tensor(model_.weights[indices[i]], *replacements[i].tensor, &buffer));
    set->set(indices[i], std::move(buffer));
  }
  AIT_TRY(derive(model_, set.get()));
  publish(std::move(set));
  return ok();
}

std::shared_ptr<const WeightSet> WeightStore::current() const {
  std::lock_guard<std::mutex> lock(current_mutex_);
  return current_;
}

void WeightStore::clear() { publish(nullptr); }

void WeightStore::publish(std::shared_ptr<const WeightSet> set) {
  std::lock_guard<std::mutex> lock(current_mutex_);
  current_.swap(set);  // the old set is freed, if at all, after the lock
}

}  // namespace ait
