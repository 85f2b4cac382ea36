// The C border: every entry checks its handles, catches what C cannot, and keeps the message.
#include <exception>
#include <new>
#include <string>

#include "ait.h"
#include "ait/device.hpp"
#include "ait/model.hpp"
#include "binding.hpp"
#include "context.hpp"
#include "tensors.hpp"
#include "weights.hpp"

struct ait_model {
  std::shared_ptr<ait::Model> shared;
};

struct ait_context {
  std::unique_ptr<ait::Context> own;
};

namespace {

using namespace ait;

const ModelDescription& description() { return ait_model_description; }

std::string& last_error() {
  thread_local std::string text;
  return text;
}

ait_status report(ait_status code, const char* message) noexcept {
  try {
    last_error() = message;
  } catch (...) {
    last_error().clear();  // not even memory for a message: the code has to do
  }
  return code;
}

// Runs an entry's body, which returns a Status.
template <class Body>
ait_status guarded(Body body) noexcept {
  try {
    const Status status = body();
    return status.is_ok() ? AIT_OK : report(status.code(), status.message());
  } catch (const std::bad_alloc&) {
    return report(AIT_OUT_OF_MEMORY, "out of host memory");
  } catch (const std::exception& exception) {
    return report(AIT_INTERNAL_ERROR, exception.what());
  } catch (...) {
    return report(AIT_INTERNAL_ERROR, "unknown exception");
  }
}

Status require(const void* argument, const char* name) {
  if (argument != nullptr) return ok();
  return error(AIT_INVALID_ARGUMENT, "%s is null", name);
}

Status require_index(std::size_t index, int32_t count, const char* what) {
  if (index < static_cast<std::size_t>(count)) return ok();
  return error(AIT_INVALID_ARGUMENT, "no %s %zu: there are %d", what, index, count);
}

// Options may be null, which means all defaults.
template <class Options>
Status read_options(const Options* given, const char* type, Options* options) {
  return given == nullptr ? ok() : read_struct(given, type, options);
}

// ---- descriptions -----------------------------------------------------------------------------

struct Ports {
  const char* kind;
  const PortDescription* table;
  int32_t count;
};

Ports input_ports() { return {"input", description().inputs, description().input_count}; }
Ports output_ports() { return {"output", description().outputs, description().output_count}; }

ait_status describe_port(const Ports& ports, std::size_t index, ait_port_info* given) {
  return guarded([&]() -> Status {
    AIT_TRY(require(given, "info"));
    AIT_TRY(require_index(index, ports.count, ports.kind));
    const PortDescription& port = ports.table[index];
    const ait_port_info info{0, port.name, static_cast<int32_t>(port.dtype), port.rank,
                             alignment_of(description(), port)};
    return write_struct(info, "ait_port_info", given);
  });
}

ait_status describe_dim(const Ports& ports, std::size_t index, std::size_t axis,
                        ait_dim_info* given) {
  return guarded([&]() -> Status {
    AIT_TRY(require(given, "info"));
    AIT_TRY(require_index(index, ports.count, ports.kind));
    AIT_TRY(require_index(axis, ports.table[index].rank, "dim"));
    const DimDescription& dim = ports.table[index].dims[axis];
    return write_struct(ait_dim_info{0, dim.text, dim.lower, dim.upper}, "ait_dim_info", given);
  });
}

// ---- models -----------------------------------------------------------------------------------

constexpr uint64_t kKnownFlags = AIT_IGNORE_UNEXPECTED_WEIGHTS;

Status check_description() {
  const ModelDescription& model = description();
  if (model.abi != AIT_ABI_VERSION) {
    return error(AIT_INTERNAL_ERROR, "generated for ABI version %d, linked with the runtime of %d",
                 model.abi, AIT_ABI_VERSION);
  }
  for (const Ports& ports : {input_ports(), output_ports()}) {
    for (int32_t i = 0; i < ports.count; ++i) {
      if (ports.table[i].rank <= AIT_MAX_RANK) continue;
      return error(AIT_INTERNAL_ERROR, "%s '%s' has rank %d, the highest is %d", ports.kind,
                   ports.table[i].name, ports.table[i].rank, AIT_MAX_RANK);
    }
  }
  return ok();
}

Status choose_device(int32_t requested, int32_t* index) {
  if (requested < 0) {
    return error(AIT_INVALID_ARGUMENT, "device_index is %d, expected 0 or more", requested);
  }
  if (requested == 0) return device::current(index);
  *index = requested - 1;
  return ok();
}

// Runs a function that returns a Status with a device that the caller names as the current one.
template <class Function>
Status on_device(int32_t requested, Function function) {
  int32_t index = 0;
  AIT_TRY(choose_device(requested, &index));
  device::Scope scope(index);
  AIT_TRY(scope.take_status());
  return function();
}

Status create_model(const ait_model_options& options, ait_model** result) {
  AIT_TRY(check_description());
  if ((options.flags & ~kKnownFlags) != 0) {
    return error(AIT_INVALID_ARGUMENT, "unknown flags 0x%llx",
                 static_cast<unsigned long long>(options.flags & ~kKnownFlags));
  }
  int32_t device_index = 0;
  AIT_TRY(choose_device(options.device_index, &device_index));
  device::Scope scope(device_index);
  AIT_TRY(scope.take_status());
  const bool ignore_unexpected = (options.flags & AIT_IGNORE_UNEXPECTED_WEIGHTS) != 0;
  auto model = std::make_shared<Model>(description(), device_index, ignore_unexpected);
  AIT_TRY(options.weights_path == nullptr ? model->weights.load_embedded()
                                          : model->weights.load_file(options.weights_path));
  *result = new ait_model{std::move(model)};
  return ok();
}

Status set_weights(Model& model, const char* const* names, const ait_tensor* tensors,
                   std::size_t count) {
  TensorList list;
  AIT_TRY(TensorList::read(tensors, count, &list));
  std::vector<Replacement> replacements;
  for (std::size_t i = 0; i < count; ++i) {
    AIT_TRY(require(names[i], "a name"));
    replacements.push_back({names[i], &list[i]});
  }
  device::Scope scope(model.device_index);
  AIT_TRY(scope.take_status());
  return model.weights.replace(replacements);
}

}  // namespace

extern "C" {

uint32_t ait_abi_version(void) { return AIT_ABI_VERSION; }

const char* ait_last_error(void) { return last_error().c_str(); }

const char* ait_status_name(ait_status status) {
  static constexpr const char* kNames[] = {
      "AIT_OK",           "AIT_INVALID_ARGUMENT",    "AIT_INVALID_INPUT",
      "AIT_INVALID_WEIGHT", "AIT_IO_ERROR",          "AIT_OUT_OF_MEMORY",
      "AIT_WORKSPACE_TOO_SMALL", "AIT_DEVICE_ERROR", "AIT_RUNTIME_ERROR",
      "AIT_INTERNAL_ERROR"};
  const auto number = static_cast<std::size_t>(static_cast<int32_t>(status));
  return number < std::size(kNames) ? kNames[number] : "unknown status";
}

const char* ait_model_metadata(void) { return description().metadata; }

size_t ait_input_count(void) { return static_cast<size_t>(description().input_count); }
size_t ait_output_count(void) { return static_cast<size_t>(description().output_count); }
size_t ait_symbol_count(void) { return static_cast<size_t>(description().symbol_count); }
size_t ait_weight_count(void) { return static_cast<size_t>(description().weight_count); }

ait_status ait_input_info(size_t index, ait_port_info* info) {
  return describe_port(input_ports(), index, info);
}

ait_status ait_output_info(size_t index, ait_port_info* info) {
  return describe_port(output_ports(), index, info);
}

ait_status ait_input_dim(size_t index, size_t axis, ait_dim_info* info) {
  return describe_dim(input_ports(), index, axis, info);
}

ait_status ait_output_dim(size_t index, size_t axis, ait_dim_info* info) {
  return describe_dim(output_ports(), index, axis, info);
}

ait_status ait_symbol_info_at(size_t index, ait_symbol_info* info) {
  return guarded([&]() -> Status {
    AIT_TRY(require(info, "info"));
    AIT_TRY(require_index(index, description().symbol_count, "symbol"));
    const SymbolDescription& symbol = description().symbols[index];
    return write_struct(ait_symbol_info{0, symbol.name, symbol.lower, symbol.upper},
                        "ait_symbol_info", info);
  });
}

ait_status ait_weight_info_at(size_t index, ait_weight_info* info) {
  return guarded([&]() -> Status {
    AIT_TRY(require(info, "info"));
    AIT_TRY(require_index(index, description().weight_count, "weight"));
    const WeightDescription& weight = description().weights[index];
    const bool embedded = weight.offset >= 0 && description().blob != nullptr;
    return write_struct(
        ait_weight_info{0, weight.name, static_cast<int32_t>(weight.dtype), weight.rank,
                        weight.shape, weight.bytes, static_cast<int32_t>(weight.role), embedded,
                        weight.sha256 == nullptr ? "" : weight.sha256},
        "ait_weight_info", info);
  });
}

ait_status ait_model_create(const ait_model_options* given, ait_model** model) {
  return guarded([&]() -> Status {
    AIT_TRY(require(model, "model"));
    ait_model_options options{};
    AIT_TRY(read_options(given, "ait_model_options", &options));
    return create_model(options, model);
  });
}

void ait_model_destroy(ait_model* model) { delete model; }

ait_status ait_model_set_weight(ait_model* model, const char* name, const ait_tensor* tensor) {
  return ait_model_set_weights(model, &name, tensor, 1);
}

ait_status ait_model_set_weights(ait_model* model, const char* const* names,
                                 const ait_tensor* tensors, size_t count) {
  return guarded([&]() -> Status {
    AIT_TRY(require(model, "model"));
    if (count != 0) AIT_TRY(require(names, "names"));
    return set_weights(*model->shared, names, tensors, count);
  });
}

ait_status ait_model_set_weights_file(ait_model* model, const char* path) {
  return guarded([&]() -> Status {
    AIT_TRY(require(model, "model"));
    AIT_TRY(require(path, "path"));
    device::Scope scope(model->shared->device_index);
    AIT_TRY(scope.take_status());
    return model->shared->weights.load_file(path);
  });
}

ait_status ait_context_create(ait_model* model, const ait_context_options* given,
                              ait_context** context) {
  return guarded([&]() -> Status {
    AIT_TRY(require(model, "model"));
    AIT_TRY(require(context, "context"));
    ait_context_options options{};
    AIT_TRY(read_options(given, "ait_context_options", &options));
    auto created = std::make_unique<ait_context>();
    AIT_TRY(Context::create(model->shared, options, &created->own));
    *context = created.release();
    return ok();
  });
}

void ait_context_destroy(ait_context* context) { delete context; }

ait_status ait_context_set_workspace(ait_context* context, void* workspace, size_t bytes) {
  return guarded([&]() -> Status {
    AIT_TRY(require(context, "context"));
    return context->own->set_workspace(workspace, bytes);
  });
}

ait_status ait_context_workspace_size(ait_context* context, const ait_tensor* inputs,
                                      size_t input_count, size_t* bytes) {
  return guarded([&]() -> Status {
    AIT_TRY(require(context, "context"));
    AIT_TRY(require(bytes, "bytes"));
    TensorList list;
    AIT_TRY(TensorList::read(inputs, input_count, &list));
    return context->own->workspace_size(list, bytes);
  });
}

ait_status ait_context_output_shapes(ait_context* context, const ait_tensor* inputs,
                                     size_t input_count, ait_shape* shapes, size_t output_count) {
  return guarded([&]() -> Status {
    AIT_TRY(require(context, "context"));
    if (output_count != 0) AIT_TRY(require(shapes, "shapes"));
    TensorList list;
    AIT_TRY(TensorList::read(inputs, input_count, &list));
    return context->own->output_shapes(list, output_count, shapes);
  });
}

ait_status ait_context_run(ait_context* context, const ait_tensor* inputs, size_t input_count,
                           const ait_tensor* outputs, size_t output_count) {
  return guarded([&]() -> Status {
    AIT_TRY(require(context, "context"));
    TensorList input_list;
    TensorList output_list;
    AIT_TRY(TensorList::read(inputs, input_count, &input_list));
    AIT_TRY(TensorList::read(outputs, output_count, &output_list));
    return context->own->run(input_list, output_list);
  });
}

ait_status ait_context_profile(ait_context* context, const ait_tensor* inputs, size_t input_count,
                               const ait_tensor* outputs, size_t output_count, int32_t repetitions,
                               double* seconds, size_t step_count) {
  return guarded([&]() -> Status {
    AIT_TRY(require(context, "context"));
    if (step_count != 0) AIT_TRY(require(seconds, "seconds"));
    TensorList input_list;
    TensorList output_list;
    AIT_TRY(TensorList::read(inputs, input_count, &input_list));
    AIT_TRY(TensorList::read(outputs, output_count, &output_list));
    return context->own->profile(input_list, output_list, repetitions, seconds, step_count);
  });
}

ait_status ait_context_synchronize(ait_context* context) {
  return guarded([&]() -> Status {
    AIT_TRY(require(context, "context"));
    return context->own->synchronize();
  });
}

ait_device ait_device_kind(void) { return device::kind(); }

ait_status ait_device_allocate(int32_t device_index, size_t bytes, void** memory) {
  return guarded([&]() -> Status {
    AIT_TRY(require(memory, "memory"));
    return on_device(device_index, [&] { return device::allocate(bytes, memory); });
  });
}

void ait_device_free(void* memory) { device::release(memory); }

ait_status ait_device_copy_from_host(void* device, const void* host, size_t bytes) {
  return guarded([&] { return device::copy_from_host(device, host, bytes); });
}

ait_status ait_device_copy_to_host(void* host, const void* device, size_t bytes) {
  return guarded([&] { return device::copy_to_host(host, device, bytes); });
}

ait_status ait_device_synchronize(int32_t device_index) {
  return guarded([&] { return on_device(device_index, device::synchronize_all); });
}

}  // extern "C"
