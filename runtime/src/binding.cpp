#include "binding.hpp"

#include <algorithm>
#include <string>

#include "ait/device.hpp"
#include "problems.hpp"

namespace ait {
namespace {

// A declared input or output and how messages call it.
struct Port {
  const char* kind;  // "input" or "output"
  const PortDescription& description;

  std::string text() const { return std::string(kind) + " '" + description.name + "'"; }

  // "input 'x' dim 1"; with the dim's text if it says more than its size.
  std::string dim_text(int32_t axis) const {
    const DimDescription& dim = description.dims[axis];
    std::string where = text() + " dim " + std::to_string(axis);
    return dim.lower == dim.upper ? where : where + " (" + dim.text + ")";
  }

  std::string shape_text() const {
    std::string all;
    for (int32_t axis = 0; axis < description.rank; ++axis) {
      if (axis != 0) all += ", ";
      all += description.dims[axis].text;
    }
    return "[" + all + "]";
  }
};

Port input_port(const ModelDescription& model, std::size_t i) { return {"input", model.inputs[i]}; }

Port output_port(const ModelDescription& model, std::size_t i) {
  return {"output", model.outputs[i]};
}

Status check_count(const char* kind, std::size_t given, int32_t expected) {
  if (given == static_cast<std::size_t>(expected)) return ok();
  return error(AIT_INVALID_INPUT, "%zu %ss given, the model has %d", given, kind, expected);
}

// dtype and rank; whether the rank fits, so that sizes can be compared at all.
bool check_form(const Port& port, const ait_tensor& tensor, Problems& problems) {
  if (tensor.dtype != static_cast<int32_t>(port.description.dtype)) {
    problems.add("%s has dtype %s, expected %s", port.text().c_str(),
                 dtype_text(tensor.dtype).c_str(), name_of(port.description.dtype));
  }
  if (tensor.rank == port.description.rank) return true;
  problems.add("%s has rank %d, expected %d: %s", port.text().c_str(), tensor.rank,
               port.description.rank, port.shape_text().c_str());
  return false;
}

// Each size alone against its bounds.
void check_bounds(const Port& port, const ait_tensor& tensor, Problems& problems) {
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    const DimDescription& dim = port.description.dims[axis];
    const auto size = static_cast<long long>(tensor.shape[axis]);
    const auto lower = static_cast<long long>(dim.lower);
    const auto upper = static_cast<long long>(dim.upper);
    if (size >= lower && size <= upper) continue;
    if (lower == upper) {
      problems.add("%s is %lld, expected %lld", port.dim_text(axis).c_str(), size, lower);
    } else {
      problems.add("%s is %lld, outside its range %lld..%lld", port.dim_text(axis).c_str(), size,
                   lower, upper);
    }
  }
}

void check_data(const Port& port, const ait_tensor& tensor, std::size_t alignment,
                Problems& problems) {
  if (tensor.device != device::kind()) {
    problems.add("%s is on %s, but this model runs on %s", port.text().c_str(),
                 device_text(tensor.device), device_text(device::kind()));
  }
  if (tensor.data == nullptr && element_count(tensor) != 0) {
    problems.add("%s has no data (a null pointer)", port.text().c_str());
  }
  if (reinterpret_cast<uintptr_t>(tensor.data) % alignment != 0) {
    problems.add("%s lies at an address that is not a multiple of %zu", port.text().c_str(),
                 alignment);
  }
}

void check_strides(const Port& port, const ait_tensor& tensor, Problems& problems) {
  if (is_contiguous(tensor)) return;
  problems.add("%s is not contiguous (shape %s, strides %s): copy it first", port.text().c_str(),
               dims_text(tensor.shape, tensor.rank).c_str(),
               dims_text(tensor.strides, tensor.rank).c_str());
}

// " with batch = 3 (from input 'x')": why a size was expected.
std::string reason_text(const ModelDescription& model, const std::vector<int64_t>& symbols) {
  std::string text;
  for (int32_t i = 0; i < model.symbol_count; ++i) {
    const BindDescription& bind = model.binds[i];
    text += text.empty() ? " with " : ", ";
    text += model.symbols[bind.symbol].name;
    text += " = " + std::to_string(symbols[static_cast<std::size_t>(bind.symbol)]);
    text += std::string(" (from input '") + model.inputs[bind.input].name + "')";
  }
  return text;
}

void read_symbols(const ModelDescription& model, const TensorList& inputs, Problems& problems,
                  std::vector<int64_t>* symbols) {
  symbols->assign(static_cast<std::size_t>(model.symbol_count), 0);
  for (int32_t i = 0; i < model.symbol_count; ++i) {
    const BindDescription& bind = model.binds[i];
    const SymbolDescription& symbol = model.symbols[bind.symbol];
    const auto input = static_cast<std::size_t>(bind.input);
    const int64_t size = inputs[input].shape[bind.axis];
    const int64_t value = (size - bind.offset) / bind.scale;
    (*symbols)[static_cast<std::size_t>(bind.symbol)] = value;
    const bool exact = value * bind.scale + bind.offset == size;
    if (exact && value >= symbol.lower && value <= symbol.upper) continue;
    problems.add("%s is %lld, but no %s in its range %lld..%lld gives that",
                 input_port(model, input).dim_text(bind.axis).c_str(),
                 static_cast<long long>(size), symbol.name, static_cast<long long>(symbol.lower),
                 static_cast<long long>(symbol.upper));
  }
}

using DimFunction = int64_t (*)(int32_t port, int32_t axis, const int64_t* symbols);

// Each size against what the symbols say it is.
void check_sizes(const ModelDescription& model, const Port& port, std::size_t index,
                 DimFunction expected_dim, const ait_tensor& tensor,
                 const std::vector<int64_t>& symbols, Problems& problems) {
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    const int64_t expected = expected_dim(static_cast<int32_t>(index), axis, symbols.data());
    if (tensor.shape[axis] == expected) continue;
    problems.add("%s is %lld, expected %lld%s", port.dim_text(axis).c_str(),
                 static_cast<long long>(tensor.shape[axis]), static_cast<long long>(expected),
                 reason_text(model, symbols).c_str());
  }
}

// A stretch of memory in use during a run.
struct Extent {
  uintptr_t begin;
  uintptr_t end;
  bool is_written;
  const char* kind;
  const char* name;

  std::string text() const { return std::string(kind) + " '" + name + "'"; }
};

void add_extent(const Port& port, const ait_tensor& tensor, bool is_written,
                std::vector<Extent>* extents) {
  const int64_t bytes = element_count(tensor) * size_of(port.description.dtype);
  if (bytes == 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(tensor.data);
  extents->push_back({begin, begin + static_cast<uintptr_t>(bytes), is_written, port.kind,
                      port.description.name});
}

// The first written extent that shares memory with any other.
Status check_disjoint(std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  const Extent* furthest = nullptr;          // of those that begin earlier, the one that ends last
  const Extent* furthest_written = nullptr;  // and the same among the written ones
  for (const Extent& extent : extents) {
    const Extent* earlier = extent.is_written ? furthest : furthest_written;
    if (earlier != nullptr && earlier->end > extent.begin) {
      return error(AIT_INVALID_INPUT, "%s and %s overlap in memory", earlier->text().c_str(),
                   extent.text().c_str());
    }
    if (furthest == nullptr || extent.end > furthest->end) furthest = &extent;
    if (!extent.is_written) continue;
    if (furthest_written == nullptr || extent.end > furthest_written->end) {
      furthest_written = &extent;
    }
  }
  return ok();
}

}  // namespace

std::size_t alignment_of(const ModelDescription& model, const PortDescription& port) {
  return static_cast<std::size_t>(std::max<int64_t>(model.port_alignment, size_of(port.dtype)));
}

Status bind_inputs(const ModelDescription& model, const TensorList& inputs, Check check,
                   std::vector<int64_t>* symbols) {
  AIT_TRY(check_count("input", inputs.size(), model.input_count));
  Problems problems;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Port port = input_port(model, i);
    if (!check_form(port, inputs[i], problems)) continue;
    check_bounds(port, inputs[i], problems);
    check_strides(port, inputs[i], problems);
  }
  AIT_TRY(problems.status(AIT_INVALID_INPUT));

  read_symbols(model, inputs, problems, symbols);
  AIT_TRY(problems.status(AIT_INVALID_INPUT));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Port port = input_port(model, i);
    check_sizes(model, port, i, model.input_dim, inputs[i], *symbols, problems);
    if (check == Check::shapes) continue;
    check_data(port, inputs[i], alignment_of(model, port.description), problems);
  }
  return problems.status(AIT_INVALID_INPUT);
}

Status check_outputs(const ModelDescription& model, const TensorList& outputs,
                     const std::vector<int64_t>& symbols) {
  AIT_TRY(check_count("output", outputs.size(), model.output_count));
  Problems problems;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Port port = output_port(model, i);
    if (!check_form(port, outputs[i], problems)) continue;
    check_sizes(model, port, i, model.output_dim, outputs[i], symbols, problems);
    check_strides(port, outputs[i], problems);
    check_data(port, outputs[i], alignment_of(model, port.description), problems);
  }
  return problems.status(AIT_INVALID_INPUT);
}

Status check_overlap(const ModelDescription& model, const TensorList& inputs,
                     const TensorList& outputs, const void* workspace,
                     std::size_t workspace_bytes) {
  std::vector<Extent> extents;
  extents.reserve(inputs.size() + outputs.size() + 1);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    add_extent(input_port(model, i), inputs[i], false, &extents);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    add_extent(output_port(model, i), outputs[i], true, &extents);
  }
  if (workspace_bytes != 0) {
    const auto begin = reinterpret_cast<uintptr_t>(workspace);
    extents.push_back({begin, begin + workspace_bytes, true, "buffer", "workspace"});
  }
  return check_disjoint(extents);
}

}  // namespace ait
