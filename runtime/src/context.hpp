// A model (its weights, shared) and the contexts (threads, stream, workspace) that run it.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "ait/device.hpp"
#include "ait/model.hpp"
#include "graphs.hpp"
#include "graphs.hpp"
#include "report.hpp"
#include "tensors.hpp"
#include "thread_pool.hpp"
#include "weights.hpp"

namespace ait {

struct Model {
  Model(const ModelDescription& model, int32_t device, bool ignore_unexpected)
      : description(model), device_index(device), weights(model, ignore_unexpected) {}
  ~Model();

  const ModelDescription& description;
  const int32_t device_index;
  WeightStore weights;
};

class Context {
 public:
  static Status create(std::shared_ptr<Model> model, const ait_context_options& options,
                       std::unique_ptr<Context>* context);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Status set_workspace(void* memory, std::size_t bytes);
  Status workspace_size(const TensorList& inputs, std::size_t* bytes);
  Status output_shapes(const TensorList& inputs, std::size_t output_count, ait_shape* shapes);
  Status run(const TensorList& inputs, const TensorList& outputs);
  Status profile(const TensorList& inputs, const TensorList& outputs, int32_t repetitions,
                 double* seconds, std::size_t step_count);
  Status synchronize();

 private:
  explicit Context(std::shared_ptr<Model> model) : model_(std::move(model)) {}

  const ModelDescription& description() const noexcept { return model_->description; }
  Status synchronize_locked();
  Status reserve_workspace(std::size_t bytes);
  Status use_current_weights();
  Status prepare_run(const TensorList& inputs, const TensorList& outputs,
                     RunArguments* arguments);
  Status run_kernels(RunArguments arguments);

  const std::shared_ptr<Model> model_;
  std::mutex mutex_;  // held by every call: a context does one thing at a time

  std::unique_ptr<ThreadPool> pool_;
  void* stream_ = nullptr;
  bool owns_stream_ = false;

  void* workspace_ = nullptr;
  std::size_t workspace_bytes_ = 0;
  bool workspace_is_users_ = false;
  Buffer own_workspace_;

  // Captured with the workspace and the weights of one time.
  bool uses_graphs_ = false;
  bool names_ranges_ = false;
  GraphCache graphs_;
  std::weak_ptr<const WeightSet> graph_weights_;

  // What kernels of runs that have not been waited for found wrong.
  Report report_;

  // Weights that work on the stream may still read.
  std::shared_ptr<const WeightSet> weights_;

  // Scratch of a run, kept so that a run in steady state allocates little.
  std::vector<int64_t> symbols_;
  std::vector<Port> input_ports_;
  std::vector<Port> output_ports_;
  std::vector<void*> input_pointers_;
  std::vector<void*> output_pointers_;
};

}  // namespace ait
