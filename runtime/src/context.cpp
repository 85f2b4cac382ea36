#include "context.hpp"

#include "binding.hpp"
#include "device_memory.hpp"
#include "profile.hpp"

namespace ait {
namespace {

std::size_t workspace_bytes(const ModelDescription& model, const std::vector<int64_t>& symbols) {
  if (model.workspace_bytes == nullptr) return 0;
  return static_cast<std::size_t>(model.workspace_bytes(symbols.data()));
}

std::size_t bytes_of(const ait_tensor& tensor) {
  return static_cast<std::size_t>(element_count(tensor) * size_of(static_cast<DType>(tensor.dtype)));
}

void collect(const TensorList& tensors, std::vector<Port>* ports, std::vector<void*>* pointers) {
  ports->resize(tensors.size());
  pointers->resize(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    (*ports)[i] = {tensors[i].data, bytes_of(tensors[i])};
    (*pointers)[i] = tensors[i].data;
  }
}

// Gives a profiler's picture of a run the names of the model's layers.
class RangeNamer final : public StepObserver {
 public:
  explicit RangeNamer(const ModelDescription& model) : model_(model) {}

  Status begin(int32_t step, void*) override {
    device::begin_range(model_.step_names[step]);
    return ok();
  }
  Status end(int32_t, void*) override {
    device::end_range();
    return ok();
  }

 private:
  const ModelDescription& model_;
};

}  // namespace

// Freeing device memory needs its device to be the current one.
Model::~Model() {
  const device::Scope scope(device_index);
  weights.clear();
}

Status Context::create(std::shared_ptr<Model> model, const ait_context_options& options,
                       std::unique_ptr<Context>* context) {
  if (options.num_threads < 0) {
    return error(AIT_INVALID_ARGUMENT, "num_threads is %d, expected 0 (one a core) or more",
                 options.num_threads);
  }
  if ((options.flags & ~(AIT_CONTEXT_NO_GRAPHS | AIT_CONTEXT_NAMED_RANGES)) != 0) {
    return error(AIT_INVALID_ARGUMENT, "ait_context_options.flags is %u: there is no such flag",
                 options.flags);
  }
  device::Scope scope(model->device_index);
  AIT_TRY(scope.take_status());
  std::unique_ptr<Context> created(new Context(std::move(model)));
  if (device::kind() == AIT_CPU) {
    const int threads = resolve_thread_count(options.num_threads);
    if (threads > 1) created->pool_ = std::make_unique<ThreadPool>(threads);
  } else if (options.stream != nullptr) {
    created->stream_ = options.stream;
  } else {
    AIT_TRY(device::create_stream(&created->stream_));
    created->owns_stream_ = true;
  }
  created->uses_graphs_ = device::kind() != AIT_CPU && options.flags == 0;
  created->names_ranges_ = (options.flags & AIT_CONTEXT_NAMED_RANGES) != 0;
  AIT_TRY(created->report_.open());
  AIT_TRY(created->set_workspace(options.workspace, options.workspace_bytes));
  *context = std::move(created);
  return ok();
}

Context::~Context() {
  const device::Scope scope(model_->device_index);
  (void)synchronize_locked();
  graphs_.clear();
  weights_.reset();
  own_workspace_.reset();
  if (owns_stream_) device::destroy_stream(stream_);
}

Status Context::set_workspace(void* memory, std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (memory == nullptr && bytes != 0) {
    return error(AIT_INVALID_ARGUMENT, "the workspace of %zu bytes is null", bytes);
  }
  if (reinterpret_cast<uintptr_t>(memory) % device::alignment() != 0) {
    return error(AIT_INVALID_ARGUMENT, "the workspace's address is not a multiple of %zu",
                 device::alignment());
  }
  device::Scope scope(model_->device_index);
  AIT_TRY(scope.take_status());
  AIT_TRY(synchronize_locked());
  graphs_.clear();
  own_workspace_.reset();
  workspace_ = memory;
  workspace_bytes_ = bytes;
  workspace_is_users_ = memory != nullptr;
  return ok();
}

Status Context::workspace_size(const TensorList& inputs, std::size_t* bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  AIT_TRY(bind_inputs(description(), inputs, Check::shapes, &symbols_));
  *bytes = workspace_bytes(description(), symbols_);
  return ok();
}

Status Context::output_shapes(const TensorList& inputs, std::size_t output_count,
                              ait_shape* shapes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const ModelDescription& model = description();
  if (output_count != static_cast<std::size_t>(model.output_count)) {
    return error(AIT_INVALID_INPUT, "room for %zu output shapes given, the model has %d outputs",
                 output_count, model.output_count);
  }
  AIT_TRY(bind_inputs(model, inputs, Check::shapes, &symbols_));
  for (int32_t i = 0; i < model.output_count; ++i) {
    ait_shape shape{};
    shape.rank = model.outputs[i].rank;
    for (int32_t axis = 0; axis < shape.rank; ++axis) {
      shape.dims[axis] = model.output_dim(i, axis, symbols_.data());
    }
    AIT_TRY(write_struct(shape, "ait_shape", shapes));
    // A newer caller's structs are longer than ours.
    auto* next = reinterpret_cast<unsigned char*>(shapes) + shapes->struct_size;
    shapes = reinterpret_cast<ait_shape*>(next);
  }
  return ok();
}

Status Context::run(const TensorList& inputs, const TensorList& outputs) {
  std::lock_guard<std::mutex> lock(mutex_);
  device::Scope scope(model_->device_index);
  AIT_TRY(scope.take_status());
  RunArguments arguments{};
  AIT_TRY(prepare_run(inputs, outputs, &arguments));
  Status status = run_kernels(arguments);
  if (device::kind() == AIT_CPU) weights_.reset();  // done with: they may have been replaced
  return status;
}

Status Context::profile(const TensorList& inputs, const TensorList& outputs, int32_t repetitions,
                        double* seconds, std::size_t step_count) {
  std::lock_guard<std::mutex> lock(mutex_);
  const ModelDescription& model = description();
  if (repetitions < 1) {
    return error(AIT_INVALID_ARGUMENT, "repetitions is %d, expected at least 1", repetitions);
  }
  if (step_count != static_cast<std::size_t>(model.step_count)) {
    return error(AIT_INVALID_ARGUMENT, "room for %zu steps given, the model has %d", step_count,
                 model.step_count);
  }
  device::Scope scope(model_->device_index);
  AIT_TRY(scope.take_status());
  RunArguments arguments{};
  AIT_TRY(prepare_run(inputs, outputs, &arguments));
  AIT_TRY(ait::profile(model, arguments, repetitions, seconds));
  return synchronize_locked();
}

// What a run needs, after everything that can be wrong with it has been checked.
Status Context::prepare_run(const TensorList& inputs, const TensorList& outputs,
                            RunArguments* arguments) {
  const ModelDescription& model = description();
  AIT_TRY(bind_inputs(model, inputs, Check::shapes_and_data, &symbols_));
  AIT_TRY(check_outputs(model, outputs, symbols_));
  // An earlier run that nobody has waited for since has failed: say so now, once.
  if (report_.is_raised()) AIT_TRY(synchronize_locked());
  const std::size_t needed = workspace_bytes(model, symbols_);
  AIT_TRY(reserve_workspace(needed));
  AIT_TRY(check_overlap(model, inputs, outputs, workspace_, needed));
  AIT_TRY(use_current_weights());

  collect(inputs, &input_ports_, &input_pointers_);
  collect(outputs, &output_ports_, &output_pointers_);
  arguments->launch = Launch{pool_.get(), stream_, report_.record()};
  arguments->inputs = input_pointers_.data();
  arguments->outputs = output_pointers_.data();
  arguments->weights = weights_->pointers.data();
  arguments->workspace = workspace_;
  arguments->symbols = symbols_.data();
  return ok();
}

Status Context::run_kernels(RunArguments arguments) {
  RangeNamer namer(description());
  if (names_ranges_) arguments.observer = &namer;
  if (!uses_graphs_ || device::is_capturing(stream_)) return description().run(arguments);
  return graphs_.run(description(), arguments, input_ports_, output_ports_);
}

Status Context::synchronize() {
  std::lock_guard<std::mutex> lock(mutex_);
  device::Scope scope(model_->device_index);
  AIT_TRY(scope.take_status());
  return synchronize_locked();
}

Status Context::synchronize_locked() {
  // Nothing has run since the last time: no work of ours can be on the stream.
  if (weights_ == nullptr) return ok();
  AIT_TRY(device::synchronize(stream_));
  weights_.reset();
  return report_.take();
}

Status Context::reserve_workspace(std::size_t bytes) {
  if (bytes <= workspace_bytes_) return ok();
  if (workspace_is_users_) {
    return error(AIT_WORKSPACE_TOO_SMALL,
                 "the workspace has %zu bytes, but inputs of these shapes need %zu",
                 workspace_bytes_, bytes);
  }
  AIT_TRY(synchronize_locked());
  graphs_.clear();
  // Frees before it allocates: a GPU may not have room for both.
  own_workspace_.reset();
  workspace_ = nullptr;
  workspace_bytes_ = 0;
  AIT_TRY(allocate_shared(bytes, &own_workspace_));
  workspace_ = own_workspace_.get();
  workspace_bytes_ = bytes;
  return ok();
}

// The weights of this run. Work that is still on the stream may read the previous ones, which are
// freed with their last owner: us, if they were replaced.
Status Context::use_current_weights() {
  std::shared_ptr<const WeightSet> current = model_->weights.current();
  if (current == weights_) return ok();
  AIT_TRY(synchronize_locked());
  if (graph_weights_.lock() != current) graphs_.clear();
  graph_weights_ = current;
  weights_ = std::move(current);
  return ok();
}

}  // namespace ait
